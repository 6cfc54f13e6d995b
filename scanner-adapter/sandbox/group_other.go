//go:build !linux

package sandbox

import (
	"errors"
	"os/exec"
)

// Box is where children run: on Linux only, because nothing else limits them well enough.
type Box struct{}

// NewBox says that there is none here.
func NewBox(string) (*Box, error) {
	return nil, errors.New("the scanner runs hostile content in a process with limits, which needs Linux: run it there, or in a container")
}

// Cgroup is "".
func (b *Box) Cgroup() string { return "" }

// EndAtLimits does nothing.
func EndAtLimits() {}

// Seal says that it cannot.
func Seal(string) error { return errors.New("only Linux can seal a process") }

// Confines is false.
func Confines() bool { return false }

type group struct{}

func (b *Box) start(*exec.Cmd, Limits) (*group, error) { return nil, errors.New("needs Linux") }
func (g *group) kill()                                 {}
func (g *group) end()                                  {}
func (g *group) memory() (int64, error)                { return 0, nil }
func (g *group) explain(err error, _ Limits, _ string) *Failure {
	return fail(CodeCrash, "The scanner ended without a result (%v).", err)
}
