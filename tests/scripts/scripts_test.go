package scripts

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redistest"
)

// patience is how long all scripts of one kind may take; a command that should have ended is ended then.
const patience = 90 * time.Second

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"hallmark": func() { become(os.Getenv("HALLMARK_BIN"), os.Args[1:]) },
		"on-disk":  onDisk,
		"shortly":  shortly,
	})
}

// noDisk is the exit status of on-disk where nothing can be mounted.
const noDisk = 126

// become turns this process into another program, so that a signal to it arrives there.
func become(program string, args []string) {
	dieWithParent()
	err := syscall.Exec(program, append([]string{filepath.Base(program)}, args...), os.Environ())
	fmt.Fprintf(os.Stderr, "%s cannot be run: %v\n", program, err)
	os.Exit(125)
}

// shortly is the program shortly PROGRAM ARGS...: what has not ended after a while is not going to refuse any more.
func shortly() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[1], os.Args[2:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "it goes on instead of refusing")
		os.Exit(124)
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(125)
}

func binary(t *testing.T) string {
	t.Helper()
	if testing.Short() && os.Getenv("CI") == "" {
		t.Skip("-short: this needs the built binary and takes its time; `make test` runs it")
	}
	path := os.Getenv("HALLMARK_BIN")
	if path == "" {
		path = filepath.Join("..", "..", "bin", "hallmark")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build`, or name the binary in HALLMARK_BIN", err)
	}
	return path
}

// TestScripts runs the scripts that need nothing but the binary.
func TestScripts(t *testing.T) {
	testscript.Run(t, params(t, filepath.Join("testdata", "alone"), nil))
}

// TestPostgresScripts runs those that need PostgreSQL or Redis, each on a schema of its own.
func TestPostgresScripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "postgres", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatal("there are no scripts", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			address := dbtest.PostgresURL(t)
			p := params(t, "", func(env *testscript.Env) { setPostgres(t, env, address) })
			p.Files = []string{file}
			testscript.Run(t, p)
		})
	}
}

func setPostgres(t *testing.T, env *testscript.Env, address string) {
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	env.Setenv("POSTGRES", address)
	env.Setenv("REDIS", redistest.URL(t))
	u.User = url.UserPassword(u.User.Username(), "wrong-password-canary")
	env.Setenv("POSTGRES_WRONG_PASSWORD", u.String())
}

func params(t *testing.T, dir string, more func(*testscript.Env)) testscript.Params {
	bin := binary(t)
	if os.Getenv("CI") != "" && !canMount() {
		t.Fatal("no file system can be mounted here, so what happens on a full disk cannot be tested")
	}
	return testscript.Params{
		Dir: dir, Deadline: time.Now().Add(patience), RequireExplicitExec: true, RequireUniqueNames: true, ContinueOnError: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HALLMARK_BIN", bin)
			env.Setenv("HALLMARK_SCANNER", "off") // a built one would be started with each hub
			for _, name := range []string{"ADDR", "ADDR2", "INTERNAL", "INTERNAL2", "NOBODY"} {
				address, err := freeAddress()
				if err != nil {
					return err
				}
				env.Setenv(name, address)
			}
			if more != nil {
				more(env)
			}
			return nil
		},
		Cmds: commands(),
		Condition: func(condition string) (bool, error) {
			if condition != "disk" {
				return false, fmt.Errorf("there is no condition %s", condition)
			}
			return canMount(), nil
		},
	}
}

var givenOut sync.Map

// freeAddress returns a loopback address that nobody listens on, no address twice. It is below the range that the
// kernel takes for outgoing connections, one of which could get the port before the hub does.
func freeAddress() (string, error) {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if _, taken := givenOut.LoadOrStore(address, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", fmt.Errorf("there is no free port between 20000 and 32000")
}
