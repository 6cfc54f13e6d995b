package db_test

import (
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/migrations"
)

// feedLimit is how soon another process hears of a change: the promise.
const feedLimit = time.Second

// follower is another process: a handle of its own that follows the feed.
type follower struct {
	db    *db.DB
	heard chan db.Change
}

func follow(t testing.TB, address string) *follower {
	t.Helper()
	f := &follower{db: openURL(t, address), heard: make(chan db.Change, 1000)}
	f.db.Subscribe(func(cs []db.Change) {
		for _, c := range cs {
			f.heard <- c
		}
	})
	if err := f.db.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// hear waits for the changes, in any order, and fails when one is late or comes twice.
func (f *follower) hear(t testing.TB, want ...db.Change) {
	t.Helper()
	late := time.NewTimer(feedLimit)
	defer late.Stop()
	for len(want) > 0 {
		select {
		case c := <-f.heard:
			i := slices.Index(want, c)
			if i < 0 {
				t.Fatalf("heard %v, want %v", c, want)
			}
			want = slices.Delete(want, i, i+1)
		case <-late.C:
			t.Fatalf("not heard after %s: %v", feedLimit, want)
		}
	}
}

// quiet waits for two more readings, which tell nothing.
func (f *follower) quiet(t testing.TB) {
	t.Helper()
	select {
	case c := <-f.heard:
		t.Fatalf("heard %v", c)
	case <-time.After(600 * time.Millisecond):
	}
}

func migrated(t testing.TB) (address string, d *db.DB) {
	t.Helper()
	address = dbtest.PostgresURL(t)
	d = openURL(t, address)
	if err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return address, d
}

func TestFeedTwoHandles(t *testing.T) {
	address, d := migrated(t)
	if d.Fresh() || !d.Shared() {
		t.Error("a process that does not follow believes its caches")
	}
	f := follow(t, address)
	if !f.db.Fresh() {
		t.Error("not fresh after Follow")
	}
	a, b := db.Change{Kind: "project", Key: "a"}, db.Change{Kind: "account", Key: "b"}
	write(t, d, func(tx *db.Tx) error {
		tx.Changed(a.Kind, a.Key)
		tx.Changed(b.Kind, b.Key)
		return nil
	})
	f.hear(t, a, b)
	f.quiet(t)
	_ = d.Write(t.Context(), func(tx *db.Tx) error {
		tx.Changed("project", "rolled back")
		return errMine
	})
	f.quiet(t)
}

// A transaction that began first commits last: its change is heard then, once, and so are those of the others.
func TestFeedLateCommit(t *testing.T) {
	address, d := migrated(t)
	f := follow(t, address)
	early, late := db.Change{Kind: "k", Key: "early"}, db.Change{Kind: "k", Key: "late"}
	var others []db.Change
	write(t, d, func(tx *db.Tx) error {
		var xid string // taken now, so that it is lower than those of the others
		if err := tx.QueryRow(`SELECT pg_current_xact_id()::text`).Scan(&xid); err != nil {
			return err
		}
		tx.Changed(late.Kind, late.Key)
		write(t, d, func(tx *db.Tx) error { tx.Changed(early.Kind, early.Key); return nil })
		f.hear(t, early)
		for i := range 5 {
			c := db.Change{Kind: "k", Key: string(rune('0' + i))}
			others = append(others, c)
			write(t, d, func(tx *db.Tx) error { tx.Changed(c.Kind, c.Key); return nil })
		}
		f.hear(t, others...)
		f.quiet(t)
		return nil
	})
	f.hear(t, late)
	f.quiet(t)
}

// Many writers at once: every change is heard exactly once.
func TestFeedManyWriters(t *testing.T) {
	address, d := migrated(t)
	f := follow(t, address)
	var want []db.Change
	var done sync.WaitGroup
	for i := range 8 {
		for j := range 25 {
			want = append(want, db.Change{Kind: string(rune('a' + i)), Key: string(rune('a' + j))})
		}
		done.Go(func() {
			for j := range 25 {
				write(t, d, func(tx *db.Tx) error {
					tx.Changed(string(rune('a'+i)), string(rune('a'+j)))
					return nil
				})
			}
		})
	}
	done.Wait()
	f.hear(t, want...)
	f.quiet(t)
}

func TestFeedProcesses(t *testing.T) {
	address, _ := migrated(t)
	f := follow(t, address)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childURL+"="+address)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f.hear(t, db.Change{Kind: "project", Key: "from the child"})
	f.quiet(t)
}

// While the feed cannot read, caches are not believed; when it can again, everything is dropped.
func TestFeedCut(t *testing.T) {
	address, d := migrated(t)
	f := follow(t, address)
	notFresh := make(chan struct{})
	write(t, d, func(tx *db.Tx) error {
		if _, err := tx.Exec(`LOCK TABLE change IN ACCESS EXCLUSIVE MODE`); err != nil {
			return err
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		began := time.Now()
		for f.db.Fresh() {
			<-tick.C
			if time.Since(began) > 2*feedLimit {
				t.Fatal("fresh without reading")
			}
		}
		close(notFresh)
		tx.Changed("k", "meanwhile")
		return nil
	})
	<-notFresh
	f.hear(t, db.Change{Kind: "k", Key: "meanwhile"}, db.Change{})
	f.quiet(t)
	if !f.db.Fresh() {
		t.Error("not fresh again")
	}
}

// A reader whose connection is ended goes on with another one, and nothing is lost.
func TestFeedTerminated(t *testing.T) {
	p := newProxy(t)
	d := openURL(t, p.address)
	if err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	f := follow(t, p.address)
	p.cut()
	p.mend()
	write(t, d, func(tx *db.Tx) error { tx.Changed("k", "after"); return nil })
	late := time.After(2 * feedLimit)
	for want := map[db.Change]bool{{}: true, {Kind: "k", Key: "after"}: true}; len(want) > 0; {
		select {
		case c := <-f.heard:
			delete(want, c)
		case <-late:
			t.Fatalf("not heard: %v", want)
		}
	}
}
