package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(exitCode(err))
}

// exitCode is 0 for fine, 1 for failed, 2 for usage or configuration.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	}
	return 1
}

// program is what the commands share.
type program struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// run runs one command. It is main without the process.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) error {
	p := &program{environ: environ, stdin: stdin, stdout: stdout, stderr: stderr}
	root := p.root()
	root.SetArgs(args)
	began := false
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	err := root.ExecuteContext(ctx)
	if err == nil {
		return nil
	}
	if !began { // cobra itself says what is wrong with the command line
		err = usageError{err}
	}
	fmt.Fprintln(stderr, "hallmark:", oneLine(err))
	return err
}

// oneLine makes one line of an error, whatever those before us put into it: it is a line of a log, too.
func oneLine(err error) string {
	var b strings.Builder
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			continue
		case b.Len() == 0:
		case strings.HasSuffix(b.String(), ":"):
			b.WriteString(" ")
		default:
			b.WriteString("; ")
		}
		b.WriteString(line)
	}
	return b.String()
}

func (p *program) getenv(name string) string {
	for i := len(p.environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(p.environ[i], name+"="); ok {
			return v
		}
	}
	return ""
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use: "hallmark", Short: "A trusted image hub: an OCI registry that verifies what it serves",
		SilenceUsage: true, SilenceErrors: true, Version: version(), DisableFlagsInUseLine: true,
		Args: args(cobra.NoArgs), RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddGroup(&cobra.Group{ID: "server", Title: "The hub:"}, &cobra.Group{ID: "client", Title: "Working with a hub:"})
	server := append([]*cobra.Command{p.serveCommand(), p.migrateCommand(), p.configCommand()}, p.localCommands()...)
	for _, c := range server {
		c.GroupID = "server"
		root.AddCommand(c)
	}
	for _, c := range clientCommands(p.getenv, p.stdin, p.stdout, p.stderr) {
		adopt(root, c)
		c.GroupID = "client"
		root.AddCommand(c)
	}
	root.AddCommand(&cobra.Command{Use: "version", Short: "Print the version", Args: args(cobra.NoArgs), Run: func(c *cobra.Command, _ []string) {
		fmt.Fprintln(p.stdout, "hallmark", version())
	}})
	root.SetHelpCommand(helpCommand(root))
	root.InitDefaultCompletionCmd()
	refuseUnknown(root)
	return root
}

// adopt gives c what is below the command of its name that root has already, which goes: "keys" is both a word of those who
// run the hub and of those who work with it.
func adopt(root, c *cobra.Command) {
	for _, old := range root.Commands() {
		if old.Name() != c.Name() {
			continue
		}
		for _, sub := range old.Commands() {
			old.RemoveCommand(sub)
			sub.Flags().AddFlagSet(old.PersistentFlags())
			c.AddCommand(sub)
		}
		root.RemoveCommand(old)
	}
}

// helpCommand is cobra's, but for what is no command: that is a mistake here as anywhere.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{Use: "help [COMMAND]", Short: "Help about any command", RunE: func(_ *cobra.Command, named []string) error {
		c, rest, err := root.Find(named)
		if err != nil || len(rest) > 0 {
			return usagef("there is no command %q; see: hallmark --help", strings.Join(named, " "))
		}
		c.InitDefaultHelpFlag()
		c.InitDefaultVersionFlag()
		return c.Help()
	}}
}

// refuseUnknown makes an unknown command below another one a mistake. cobra would print the help and call that a success.
func refuseUnknown(c *cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.HasSubCommands() && !sub.Runnable() {
			sub.Args, sub.RunE = args(cobra.NoArgs), sayWhat
		}
		refuseUnknown(sub)
	}
}

// configFlags adds the flags of all settings and returns what reads the configuration once they are parsed.
func (p *program) configFlags(c *cobra.Command) func() (*Config, error) {
	file := c.Flags().String("config", "", "configuration file (YAML); also HALLMARK_CONFIG_FILE")
	for _, s := range settings() {
		if !s.secret { // a secret on a command line is everybody's
			c.Flags().String(s.flag(), "", s.help)
		}
	}
	return func() (*Config, error) {
		flags := map[string]string{}
		for _, s := range settings() {
			if f := c.Flags().Lookup(s.flag()); f != nil && f.Changed {
				flags[s.key] = f.Value.String()
			}
		}
		environ := p.environ
		name := *file
		if name == "" {
			name = p.getenv("HALLMARK_CONFIG_FILE")
		}
		return loadConfig(name, without(environ, "HALLMARK_CONFIG_FILE"), flags)
	}
}

func without(environ []string, name string) []string {
	var out []string
	for _, e := range environ {
		if !strings.HasPrefix(e, name+"=") {
			out = append(out, e)
		}
	}
	return out
}

func (p *program) serveCommand() *cobra.Command {
	c := &cobra.Command{Use: "serve", Short: "Run the hub", Args: args(cobra.NoArgs)}
	load := p.configFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return p.serve(c.Context(), cfg)
	}
	return c
}

func (p *program) configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check or print the configuration"}
	check := &cobra.Command{Use: "check", Short: "Say whether the configuration can be used", Args: args(cobra.NoArgs)}
	loadCheck := p.configFlags(check)
	check.RunE = func(*cobra.Command, []string) error {
		cfg, err := loadCheck()
		if err != nil {
			return err
		}
		if _, err := loadCertificate(cfg, p.logger(cfg)); err != nil {
			return err
		}
		fmt.Fprintln(p.stdout, "The configuration can be used.")
		return nil
	}
	show := &cobra.Command{Use: "print", Short: "Print every setting, its value and where that comes from", Args: args(cobra.NoArgs)}
	loadShow := p.configFlags(show)
	show.RunE = func(*cobra.Command, []string) error {
		cfg, err := loadShow()
		if err != nil {
			return err
		}
		cfg.print(p.stdout)
		return nil
	}
	c.AddCommand(check, show)
	return c
}

// version is the version the binary was built with, or the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = "dev-" + s.Value[:min(12, len(s.Value))]
		}
	}
	if v == "" {
		return "(devel)"
	}
	return v
}
