package store

import (
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gitmirror/gitmirror/mirror"
)

// visible is mirror.Sight.Sees in SQL, of the columns private and path_key;
// empty when all is seen.
func visible(s *mirror.Sight) (sql string, values []any) {
	if s == nil || !s.Strict && len(s.Closed) == 0 {
		return "", nil
	}
	open, values := covered(s.Open)
	sql = "(NOT private OR " + open
	if !s.Strict {
		closed, more := covered(s.Closed)
		sql, values = sql+" OR NOT "+closed, append(values, more...)
	}
	return sql + ")", values
}

// covered is true for paths that one of the patterns reaches.
func covered(patterns []string) (sql string, values []any) {
	if len(patterns) == 0 {
		return "(1 = 0)", nil
	}
	escape := strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`)
	terms := make([]string, len(patterns))
	for i, p := range patterns {
		p = strings.ToLower(clean(p))
		if stem, below := strings.CutSuffix(p, "*"); below {
			terms[i], values = `path_key LIKE ? ESCAPE '\'`, append(values, escape.Replace(stem)+"%")
			continue
		}
		terms[i], values = "path_key = ?", append(values, p)
	}
	return "(" + strings.Join(terms, " OR ") + ")", values
}

// within narrows a statement about repositories to what s sees.
func within(stmt *gorm.Statement, s *mirror.Sight) {
	if sql, values := visible(s); sql != "" {
		stmt.AddClause(clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: sql, Vars: values}}})
	}
}
