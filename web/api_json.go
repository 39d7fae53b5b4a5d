package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// strictUnmarshal is json.Unmarshal that refuses what parsers disagree on:
// invalid UTF-8 and names that appear twice in an object.
func strictUnmarshal(data []byte, v any) error {
	if _, first := v.(*any); first { // the library comes twice; the second time it has been checked
		if !utf8.Valid(data) {
			return errors.New("the body is not UTF-8")
		}
		if err := checkNames(data); err != nil {
			return err
		}
	}
	return json.Unmarshal(data, v)
}

const maxDepth = 32 // of nested arrays and objects

// checkNames looks for names that appear twice. Syntax is json.Unmarshal's business.
func checkNames(data []byte) error {
	type level struct {
		names map[string]bool // nil in an array
		value bool            // the next token is a value, not a name
	}
	var stack []level
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errors.New("the body is not valid JSON")
		}
		if name, ok := token.(string); ok && len(stack) > 0 {
			if top := &stack[len(stack)-1]; top.names != nil && !top.value {
				if top.names[name] {
					return fmt.Errorf("the name %.100q appears twice in an object", name)
				}
				top.names[name], top.value = true, true
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		if len(stack) > maxDepth {
			return fmt.Errorf("the body is nested deeper than %d levels", maxDepth)
		}
		if token != json.Delim('{') && token != json.Delim('[') && len(stack) > 0 {
			stack[len(stack)-1].value = false
		}
	}
}
