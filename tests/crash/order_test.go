//go:build crash && linux

package crash

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestF04Order is the test for power losses. kill -9 keeps what the kernel has not written yet, so it proves nothing
// about them; the order of the hub's system calls does. Each step has to be over before the next one begins: the bytes,
// their sync, the new name, the sync of the directory it stands in and of those above that are new, then the database and
// its sync, then the answer.
func TestF04Order(t *testing.T) {
	h := newHub(t)
	trace := filepath.Join(h.dir, "order.trace")
	h.start(strace(t), "-f", "-y", "-s", "48", "-o", trace, "-e",
		"trace=?open,openat,write,writev,sendto,sendmsg,pwrite64,fsync,fdatasync,sync_file_range,?rename,renameat,renameat2,?mkdir,mkdirat,?link,linkat,?unlink,unlinkat")
	ctx := context.Background()
	c := newClient(h)
	b := newBlob("ordered", 700_000)
	location, a := c.startUpload(ctx, "library/order")
	if location == "" {
		t.Fatal(a)
	}
	if a := c.finishUpload(ctx, location, b.bytes(), b.digest); a.status != http.StatusCreated {
		t.Fatal(a)
	}
	if a := c.putManifest(ctx, "library/order", "t", newArtifact(b)); a.status != http.StatusCreated {
		t.Fatal(a)
	}
	h.stop()
	o := &order{T: t, calls: readTrace(t, trace), data: h.data}
	o.checkAnswers()
	o.checkBlob(filepath.Join(h.data, "blobs", "uploads", filepath.Base(location)), b.digest)
	o.checkDatabase()
	o.checkNewDirectories()
	if t.Failed() {
		t.Logf("what the hub did to its data, and its answers:\n%s", o)
	}
}

// order is a trace of one POST, one PUT of a blob and one PUT of a manifest.
type order struct {
	*testing.T
	calls   []call
	data    string
	answers []call // to those three
}

// checkAnswers finds the moment of each answer.
func (o *order) checkAnswers() {
	o.Helper()
	o.answers = find(o.calls, func(c call) bool {
		return strings.Contains(c.args, "HTTP/1.1 201") || strings.Contains(c.args, "HTTP/1.1 202")
	})
	if len(o.answers) != 3 {
		o.Fatalf("there should be three answers in the trace: %v", o.answers)
	}
}

// one returns the only call that a condition holds for.
func (o *order) one(what string, is func(call) bool) call {
	o.Helper()
	found := find(o.calls, is)
	if len(found) != 1 {
		o.Fatalf("%s: not once but %d times: %v\n%s", what, len(found), found, o)
	}
	return found[0]
}

// follows expects a call, for which a condition holds, that began after one had ended and ended before another began.
func (o *order) follows(what string, after, before call, is func(call) bool) {
	o.Helper()
	if !slices.ContainsFunc(o.calls, func(c call) bool { return is(c) && c.begin > after.end && c.end < before.begin }) {
		o.Errorf("F-04: %s: not between\n  %v and\n  %v", what, after, before)
	}
}

func (o *order) checkBlob(upload, digest string) {
	o.Helper()
	key := filepath.Join(o.data, "blobs", "sha256", digest[7:9], digest[7:]+"."+filepath.Base(upload))
	acknowledged := o.answers[1]
	writes := find(o.calls, on(upload, "write", "pwrite64", "writev"))
	if len(writes) == 0 {
		o.Fatalf("nothing was written to %s\n%s", upload, o)
	}
	renamed := o.one("the upload gets its name", func(c call) bool {
		return c.ok() && strings.HasPrefix(c.name, "rename") && slices.Equal(c.names(), []string{upload, key})
	})
	last := slices.MaxFunc(writes, func(a, b call) int { return a.end - b.end })
	if last.end > renamed.begin {
		o.Errorf("F-04: written after it had its name: %v", last)
	}
	o.follows("the bytes are synced before the name", last, renamed, syncOf(upload))
	o.follows("the directory is synced after the name and before the answer", renamed, acknowledged, syncOf(filepath.Dir(key)))
	o.follows("the database hears of the blob once it has its name", renamed, acknowledged, on(o.data+"/hallmark.db-wal", "pwrite64"))
}

// checkDatabase looks at each answer: whatever was written to the log of the database before it was synced before it.
func (o *order) checkDatabase() {
	o.Helper()
	wal := o.data + "/hallmark.db-wal"
	for i, answer := range o.answers {
		writes := find(o.calls, func(c call) bool {
			return on(wal, "pwrite64", "write")(c) && c.begin < answer.begin && (i == 0 || c.begin > o.answers[i-1].end)
		})
		if len(writes) == 0 {
			o.Errorf("F-04: nothing was written to the database before %v", answer)
			continue
		}
		o.follows("the database's log is synced before the answer", writes[len(writes)-1], answer, syncOf(wal))
	}
	created := find(o.calls, func(c call) bool {
		return c.ok() && strings.HasPrefix(c.name, "open") && strings.Contains(c.args, "O_CREAT") && slices.Contains(c.names(), wal)
	})
	if len(created) == 0 {
		o.Fatal("the log of the database is not made in this trace")
	}
	o.follows("the directory of the database's log is synced", created[0], o.answers[0], syncOf(o.data))
}

// checkNewDirectories wants the directory above every directory that was made to be synced before the first answer that
// could depend on it.
func (o *order) checkNewDirectories() {
	o.Helper()
	made := find(o.calls, func(c call) bool { return c.ok() && strings.HasPrefix(c.name, "mkdir") })
	if len(made) < 5 { // data, blobs, uploads, sha256 and one below
		o.Errorf("only these directories were made: %v", made)
	}
	for _, m := range made {
		answer := o.answers[slices.IndexFunc(o.answers, func(a call) bool { return a.begin > m.end })]
		above := filepath.Dir(m.names()[0])
		o.follows("directory "+m.names()[0]+" is made durable by a sync of the one above", m, answer, syncOf(above))
	}
}

// String tells the part of the trace that matters.
func (o *order) String() string {
	var b strings.Builder
	for _, c := range o.calls {
		if strings.Contains(c.args, "HTTP/1.1") || strings.HasPrefix(c.name, "open") && !strings.Contains(c.args, "O_CREAT") {
			if !slices.Contains(o.answers, c) {
				continue
			}
		} else if !strings.Contains(c.args, o.data) {
			continue
		}
		b.WriteString("  " + c.String()[:min(len(c.String()), 200)] + "\n")
	}
	return b.String()
}
