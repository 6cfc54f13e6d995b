//go:build crash && linux

package crash
func tracerMain() int { return 0 }
