//go:build e2e

package e2e

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// startPostgresAndS3 starts a private Postgres cluster and an S3 server on loopback.
func startPostgresAndS3(t *testing.T, logs string) []string {
	t.Helper()
	db := startPostgres(t, logs)
	access, key := "e2e", secret(t)
	addr := startS3(t, logs, access, key, "blobs")
	query := url.Values{"region": {"us-east-1"}, "endpoint": {"http://" + addr}, "forcepathstyle": {"true"}}
	return []string{
		"HALLMARK_DB=" + db,
		"HALLMARK_BLOBS=s3://blobs/e2e?" + query.Encode(),
		"AWS_ACCESS_KEY_ID=" + access,
		"AWS_SECRET_ACCESS_KEY=" + key,
	}
}

// startPostgres returns the URL of a new, empty cluster.
func startPostgres(t *testing.T, logs string) string {
	t.Helper()
	bin := postgresBin(t)
	dir := sharedDir(t, "postgres")
	data, pwfile := filepath.Join(dir, "data"), filepath.Join(dir, "password")
	password := secret(t)
	if err := os.WriteFile(pwfile, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	uid, gid, drop := postgresUser(t)
	if drop {
		for _, path := range []string{dir, pwfile} {
			if err := os.Chown(path, int(uid), int(gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	program := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir = dir
		if drop {
			runAs(cmd, uid, gid)
		}
		return cmd
	}
	if out, err := program("initdb", "-D", data, "-U", "hallmark", "--pwfile="+pwfile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	addr := freeAddr(t)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	// The cluster is thrown away, so it need not survive a power cut.
	p := start(t, logs, "postgres", program("postgres", "-D", data,
		"-c", "listen_addresses="+host, "-c", "port="+port, "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "full_page_writes=off"))
	p.ready(t, 30*time.Second, func() error {
		return program("pg_isready", "-q", "-h", host, "-p", port, "-U", "hallmark", "-d", "postgres").Run()
	})
	u := url.URL{Scheme: "postgres", User: url.UserPassword("hallmark", password), Host: addr, Path: "/postgres", RawQuery: "sslmode=disable"}
	return u.String()
}

// postgresUser returns whom to run Postgres as, which refuses to run as root.
func postgresUser(t *testing.T) (uid, gid uint32, drop bool) {
	t.Helper()
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID == nil && errGID == nil {
			return uint32(uid), uint32(gid), true
		}
	}
	lacking(t, "Postgres does not run as root, and there is no user postgres or nobody")
	return 0, 0, false
}

// startS3 starts an S3 server that keeps its objects in a directory, with one bucket.
func startS3(t *testing.T, logs, access, key, bucket string) string {
	t.Helper()
	dir := sharedDir(t, "s3")
	// To this server a bucket is a directory.
	objects := filepath.Join(dir, "objects")
	if err := os.MkdirAll(filepath.Join(objects, bucket), 0o755); err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	// Attributes go to a side directory: not every file system has extended ones.
	sidecar := filepath.Join(dir, "attributes")
	if err := os.Mkdir(sidecar, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(pinned(t, "versitygw"), "--port", addr, "--region", "us-east-1", "posix", "--sidecar", sidecar, objects)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+access, "ROOT_SECRET_KEY="+key)
	p := start(t, logs, "versitygw", cmd)
	p.ready(t, 20*time.Second, dials("tcp", addr))
	return addr
}
