//go:build crash && linux

package crash

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const (
	diskSize = 128 << 20
	// roomLeft is what the ballast leaves: the hub wants 64 MiB to start, and filling those takes long.
	roomLeft = 12 << 20
)

// TestF05DiskFull fills the disk under the hub. It says so in words, to whoever pushes a blob and to whoever pushes a
// manifest; pulls and deletes go on; and once there is room again, so do pushes, without a restart.
//
// The disk is a tmpfs in a mount namespace of a child process, which takes it along when it ends, however it ends.
func TestF05DiskFull(t *testing.T) {
	if os.Getenv(role) == "full" {
		diskFull(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestF05DiskFull$", "-test.v", "-test.timeout=300s")
	cmd.Env = append(os.Environ(), role+"=full")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC) {
		lacking(t, "no mount namespace can be made", err)
	}
	text := strings.TrimSpace(string(out))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	t.Log(text)
	if strings.Contains(text, "--- SKIP") {
		t.SkipNow()
	}
}

// full is a hub on a small disk.
type full struct {
	*testing.T
	ctx    context.Context
	hub    *hub
	client *client
	repo   string
	kept   map[string]manifest // by tag: acknowledged
	serial int
}

func diskFull(t *testing.T) {
	dir, err := os.MkdirTemp("", "hallmark-crash-")
	if err != nil {
		t.Fatal(err)
	}
	h := newHubIn(t, dir)
	h.data = filepath.Join(dir, "disk", "data")
	disk := filepath.Dir(h.data)
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		lacking(t, "mounts cannot be made private", err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprint("size=", diskSize)); err != nil {
		lacking(t, "a tmpfs cannot be mounted", err)
	}
	t.Cleanup(func() { // before newHubIn's, which would remove what is below it
		h.proc.kill()
		<-h.proc.gone
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	h.start()
	f := &full{T: t, ctx: context.Background(), hub: h, client: newClient(h), repo: "library/full", kept: map[string]manifest{}}
	for range 4 {
		if a := f.push(100_000); a.status != http.StatusCreated {
			t.Fatal(a)
		}
	}
	ballast := []string{filepath.Join(disk, "ballast"), filepath.Join(disk, "more ballast")}
	f.fill(ballast[0], roomLeft)
	f.blobsUntilFull()
	f.fill(ballast[1], 0)
	f.blobRefused()
	f.manifestsUntilFull()
	f.pulls()
	t.Logf("with a full disk /readyz says %d", h.ready())
	f.deletes()
	for _, b := range ballast {
		if err := os.Remove(b); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if a := f.push(2 << 20); a.status != http.StatusCreated {
			t.Errorf("F-05: a push when there is room again: %v", a)
		}
	}
	f.pulls()
	h.kill()
	h.start()
	f.pulls()
	h.stop()
	h.auditStore(t.Errorf)
	h.auditAged(t.Errorf)
}

// push pushes an image of one new layer under a new tag.
func (f *full) push(size int) answer {
	f.serial++
	tag := fmt.Sprint("t", f.serial)
	m := newImage(tag, newBlob("full "+tag, size))
	a := f.client.putImage(f.ctx, f.repo, tag, m)
	if a.status == http.StatusCreated {
		f.kept[tag] = m
	}
	return a
}

// fill writes a file until only so much room is left.
func (f *full) fill(path string, left int64) {
	f.Helper()
	file, err := os.Create(path)
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	piece := make([]byte, 256<<10)
	for {
		var st syscall.Statfs_t
		if err := syscall.Statfs(path, &st); err != nil {
			f.Fatal(err)
		}
		free := int64(st.Bavail)*st.Bsize - left
		if free <= 0 {
			return
		}
		if _, err := file.Write(piece[:min(free, int64(len(piece)))]); errors.Is(err, syscall.ENOSPC) && left == 0 {
			return
		} else if err != nil {
			f.Fatal(err)
		}
	}
}

// refused expects the answer of a hub whose disk is full.
func (f *full) refused(what string, a answer) {
	f.Helper()
	if a.status != http.StatusInsufficientStorage || a.code() != "NO_SPACE" {
		f.Errorf("F-05: %s on a full disk: %v", what, a)
	}
}

// blobsUntilFull pushes until a layer does not fit any more.
func (f *full) blobsUntilFull() {
	f.Helper()
	for range 20 {
		if a := f.push(2 << 20); a.status != http.StatusCreated {
			f.refused("a blob", a)
			return
		}
	}
	f.Fatal("the disk does not become full")
}

// blobRefused pushes a blob to a disk without a single free byte, in both ways.
func (f *full) blobRefused() {
	f.Helper()
	b := newBlob("too much", 3<<20)
	f.refused("a blob in one POST", f.client.do(f.ctx, http.MethodPost, "/v2/"+f.repo+"/blobs/uploads/?digest="+b.digest, b.bytes()))
	location, a := f.client.startUpload(f.ctx, f.repo)
	if location == "" {
		f.refused("the start of an upload", a)
		return
	}
	f.refused("a chunk", f.client.do(f.ctx, http.MethodPatch, location, b.bytes()))
	f.client.do(f.ctx, http.MethodDelete, location, nil)
}

// manifestsUntilFull pushes manifests, which are rows of the database, until that has no room: what its log has from
// before may be used again, so that the first ones can succeed.
func (f *full) manifestsUntilFull() {
	f.Helper()
	base := f.kept["t1"]
	for i := range 3000 {
		tag := fmt.Sprint("row", i)
		m := newIndex(strings.Repeat("long ", 2000)+tag, base)
		a := f.client.putManifest(f.ctx, f.repo, tag, m)
		if a.status != http.StatusCreated {
			f.refused(fmt.Sprintf("manifest %d", i), a)
			if got := f.client.getManifest(f.ctx, f.repo, tag); got.status != http.StatusNotFound {
				f.Errorf("F-05: the manifest that was refused: %v", got)
			}
			return
		}
		f.kept[tag] = m
	}
	f.Fatal("the database does not become full")
}

// pulls reads everything that was acknowledged.
func (f *full) pulls() {
	f.Helper()
	for tag := range f.kept {
		if err := f.client.pull(f.ctx, f.repo, tag); err != nil {
			f.Errorf("F-05, I1: %v", err)
		}
	}
}

// deletes frees room in the only way a user has.
func (f *full) deletes() {
	f.Helper()
	if a := f.client.do(f.ctx, http.MethodDelete, "/v2/"+f.repo+"/manifests/t2", nil); a.status != http.StatusAccepted {
		f.Errorf("F-05: deleting a tag on a full disk: %v", a)
	} else {
		delete(f.kept, "t2")
	}
	m := f.kept["t3"]
	if a := f.client.do(f.ctx, http.MethodDelete, "/v2/"+f.repo+"/manifests/"+m.digest, nil); a.status != http.StatusAccepted {
		f.Errorf("F-05: deleting a manifest on a full disk: %v", a)
		return
	}
	delete(f.kept, "t3")
	if a := f.client.do(f.ctx, http.MethodDelete, "/v2/"+f.repo+"/blobs/"+m.blobs[1].digest, nil); a.status != http.StatusAccepted {
		f.Errorf("F-05: deleting a blob on a full disk: %v", a)
	}
}
