package main

import "github.com/spf13/cobra"

func (p *program) localCommands() []*cobra.Command  { return nil }
func (p *program) clientCommands() []*cobra.Command { return nil }
