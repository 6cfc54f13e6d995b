// regbench measures an OCI registry over its HTTP API: reads, pushes, listings, tokens, start-up time.
// It works against any base URL; given the servers' process ids it also reports their CPU time and memory.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const usage = `regbench suite   -base URL [-user U -pass P] [-pids 1,2] [-tests ...]   run tests and append their figures to -out
regbench startup -base URL -ready PATH -- server args...              time from exec to ready, and idle memory
regbench static  -dir DIR                                             write the read set as static files, for nginx and floor
regbench sha256                                                       what hashing alone costs: the floor of a big push
regbench table   FILE.jsonl                                           one table of the figures that have targets
regbench report  FILE.jsonl...                                        every figure of every test
`

const (
	readTests = "tag-get,tag-head,digest-get,blob-1k,blob-1m,blob-256m,blob-256m-x8"
	pushTests = "push-small,push-put,push-patch,push-chunk"
)

var (
	base    = flag.String("base", "http://127.0.0.1:5000", "registry base URL")
	user    = flag.String("user", "", "user name")
	pass    = flag.String("pass", os.Getenv("BENCH_PASS"), "password; better given as BENCH_PASS, which other users cannot read")
	pids    = flag.String("pids", "", "server process ids; descendants are included")
	prefix  = flag.String("prefix", "bench/", "repository name prefix; on a hub the part before the slash is the project")
	label   = flag.String("label", "registry", "label of this server in the results")
	suffix  = flag.String("suffix", "", "added to the name of each test in the results, for a server that was set up differently")
	outFile = flag.String("out", "", "append JSON lines here")
	tests   = flag.String("tests", readTests+","+pushTests+",tags,catalog", "tests to run; besides: token, catalog-others, gate (they need -hub)")
	hubAPI  = flag.Bool("hub", false, "the server has Hallmark's admin API: make the project, and whoever the tests need")
	runs    = flag.Int("runs", 3, "runs of each test")
	dur     = flag.Duration("dur", 4*time.Second, "length of one load run")
	conns   = flag.Int("conns", 32, "connections of a load run")
	threads = flag.Int("threads", 2, "wrk threads")
	images  = flag.Int("images", 200, "images of push-small")
	conc    = flag.Int("c", 8, "concurrency of pushes and lists")
	size    = flag.Int64("size", 1<<30, "size of the big pushed blob")
	chunk   = flag.Int64("chunk", 16<<20, "chunk size of push-chunk")
	nTags   = flag.String("ntags", "1000,10000", "numbers of tags for the tags test")
	nRepos  = flag.Int("nrepos", 2000, "repositories for the catalog test")
	beside  = flag.Int("beside", 10_000, "referrers of an image, and images with its layer, beside which the gate test measures")
	limit   = flag.Duration("limit", 90*time.Second, "time limit of each seeding step")
	dir     = flag.String("dir", "", "directory (static)")
	ready   = flag.String("ready", "/v2/", "path that answers 200 or 401 once the server is ready (startup)")
	seedRun = flag.Int64("seed", time.Now().UnixNano()/1e6, "seed of pushed content; unless set it is new each time")
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		flag.PrintDefaults()
		os.Exit(2)
	}
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1], flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "regbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command string, args []string) error {
	switch command {
	case "suite":
		return suite(ctx)
	case "startup":
		return startup(ctx, args)
	case "static":
		return static()
	case "sha256":
		return hashFloor()
	case "table":
		return table(os.Stdout, args)
	case "report":
		return report(os.Stdout, args)
	}
	return fmt.Errorf("there is no command %q\n%s", command, usage)
}

// bench is one suite against one server.
type bench struct {
	ctx  context.Context
	c    *client
	pids procSet
	set  *readSet // made and pushed when the first read test needs it
	hub  *hub     // nil if the server has no admin API
}

func suite(ctx context.Context) error {
	p, err := parsePids(*pids)
	if err != nil {
		return err
	}
	b := &bench{ctx: ctx, c: newClient(*base, *user, *pass), pids: p}
	if err := b.c.probe(ctx); err != nil {
		return err
	}
	if *hubAPI {
		if b.hub, err = openHub(ctx, b.c); err != nil {
			return err
		}
		defer b.hub.leave()
	}
	var failed []error
	for _, t := range strings.Split(*tests, ",") {
		if err := b.test(t); err != nil {
			emit(record{Test: t, Note: "failed: " + err.Error()})
			failed = append(failed, fmt.Errorf("%s: %w", t, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

func (b *bench) test(name string) error {
	switch name {
	case "push-small":
		return b.pushSmall()
	case "push-put", "push-patch", "push-chunk":
		return b.pushBig(name, uploadMode(strings.TrimPrefix(name, "push-")))
	case "tags":
		return b.tags()
	case "catalog":
		return b.catalog()
	case "catalog-others":
		return b.catalogOfOthers()
	case "token":
		return b.tokens()
	case "gate":
		return b.gate()
	}
	return b.read(name)
}

// record is one measurement of one run.
type record struct {
	Label string             `json:"label"`
	Test  string             `json:"test"`
	Run   int                `json:"run"`
	M     map[string]float64 `json:"m"`
	Note  string             `json:"note,omitempty"`
}

// emit appends a record to the results and tells whoever waits for the end how far things are.
func emit(r record) {
	r.Label = *label
	r.Test += *suffix
	line := fmt.Sprintf("%-13s %-22s %d ", r.Label, r.Test, r.Run)
	for _, f := range figures {
		if v, ok := r.M[f]; ok {
			line += fmt.Sprintf(" %s=%s", f, number(v))
		}
	}
	fmt.Fprintln(os.Stderr, line, r.Note)
	if *outFile == "" {
		return
	}
	if err := appendRecord(r); err != nil {
		fmt.Fprintln(os.Stderr, "regbench: a result is lost:", err)
	}
}

func appendRecord(r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(*outFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
}
