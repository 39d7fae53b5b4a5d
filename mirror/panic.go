package mirror

import (
	"fmt"
	"runtime"
)

// Panicked says for the log what a recovered panic was: what the runtime says, of
// any other value its type alone. A value may hold what somebody sent, a password
// as well as anything; where it came from is in the stack.
func Panicked(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a value of type %T", v)
}
