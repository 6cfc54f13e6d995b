package scan_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/scan"
	"github.com/hallmarkhub/hallmark/core/store"
)

func TestMain(m *testing.M) {
	if os.Getenv(childURL) != "" {
		os.Exit(child())
	}
	os.Exit(m.Run())
}

// childURL is set in a process that a test started: the address of its database.
const childURL = "HALLMARK_TEST_CHILD_URL"

// child considers newer data as a worker does. It is killed while it does.
func child() int {
	ctx := core.WithPrincipal(context.Background(), core.System())
	d, err := db.Open(ctx, os.Getenv(childURL), db.Options{})
	if err == nil {
		defer d.Close()
		err = reevaluator(store.New(d), named).Scanner(ctx, "m", scan.Job{Write: d.Write, Count: func(int64, int64, string) {}})
	}
	fmt.Println("it ended:", err)
	return 1
}

// named is a bill of its own for each repository.
func named(_ context.Context, repository, _ string) ([]byte, bool, error) {
	return fmt.Appendf(nil, `{"n":%q}`, repository), true, nil
}

// holding is an adapter that finds CVE-9 in everything, and keeps its second answer until it is let go.
type holding struct {
	*httptest.Server
	second chan struct{} // the second request is there
	leave  chan struct{}
}

func newHolding(t *testing.T, h *behind) *holding {
	a := &holding{second: make(chan struct{}), leave: make(chan struct{})}
	requests := 0 // one at a time: of one process, and then of the other
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/metadata", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"scanner":{"name":"m"},"capabilities":[{"type":"vulnerability","consumes_mime_types":["x"],"produces_mime_types":["y"]},{"type":"sboms"}],"properties":{}}`)
	})
	mux.HandleFunc("POST /api/v1/sboms", func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests == 2 {
			close(a.second)
			<-a.leave
			return
		}
		body, err := io.ReadAll(r.Body) // whoever answers before has the rest cut off
		if err != nil {
			t.Error(err)
		}
		for line := range bytes.Lines(body) {
			var bill struct{ ID string }
			if err := json.Unmarshal(line, &bill); err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, `{"id":%q,"database_at":%q,%s}`+"\n", bill.ID, h.data.Format("2006-01-02T15:04:05Z07:00"), found("CVE-1", "CVE-9"))
		}
	})
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

// F-12: a process that considers newer data is killed between two pages. What it wrote counts, the next one goes on with the rest,
// and nothing is told twice.
func TestKilledReevaluation(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, address string) {
		h := newBehind(t, opened(t, address))
		a := newHolding(t, h)
		h.exec(`UPDATE scanner SET url = $1`, a.URL)
		h.subscribe()
		const images = 120
		for i := range images {
			h.scanned(fmt.Sprintf("team/a%d", i), "x", old("CVE-1"))
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childURL+"="+address)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		h.ok(cmd.Start())
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(ended)
		}()
		select {
		case <-a.second:
		case <-ended:
			t.Fatal("the process ended before the second page")
		}
		h.ok(cmd.Process.Kill())
		<-ended
		close(a.leave)
		left, err := h.OldScanCount(h.ctx, "m", h.data)
		h.ok(err)
		if written := len(h.events()); left == 0 || left == images || int64(written) != images-left {
			t.Fatalf("%d are left, and %d events were written", left, written)
		}
		h.ok(reevaluator(h.Store, named).Scanner(h.ctx, "m", scan.Job{Write: h.db.Write, Count: func(int64, int64, string) {}}))
		all := h.events()
		for i := range images {
			name := fmt.Sprintf("team/a%d", i)
			if got := h.now(name); len(all[name]) != 1 || len(got.Findings) != 2 || !got.DatabaseAt.Equal(h.data) {
				t.Fatalf("%s: %d events, %+v", name, len(all[name]), got)
			}
		}
		if owed := h.owed(); len(owed) != 0 {
			t.Errorf("%v are to be scanned again", owed)
		}
	})
}

func opened(t *testing.T, address string) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), address, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}
