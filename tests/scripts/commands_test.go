package scripts

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // for the word sql
)

type word = func(ts *testscript.TestScript, neg bool, args []string)

// commands are the words that scripts have besides those of testscript.
func commands() map[string]word {
	words := map[string]word{
		"refuses":     refuses,
		"ready":       ready,
		"terminate":   terminate,
		"mode":        mode,
		"answers":     answers,
		"occupy":      occupy,
		"certificate": certificate,
		"shows":       shows,
		"sql":         runSQL,
		"untold":      untold,
	}
	maps.Copy(words, gateWords())
	words["adapter"], words["scanned"] = needs(1, 2, startAdapter), needs(3, 3, scanned)
	words["receiver"], words["hears"], words["delivered"], words["paused"] = needs(2, 2, startReceiver), needs(4, 4, hears), needs(3, 3, delivered), needs(2, 2, paused)
	return words
}

// refuses STATUS PROGRAM ARGS... runs a command that must end with this status after saying why in one sentence: one
// line on stderr that begins with "hallmark: ". What it says is there for stderr afterwards.
func refuses(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: refuses STATUS PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("shortly", args[1:]...)
	var exit *exec.ExitError
	switch {
	case err == nil && want != 0:
		ts.Fatalf("it was not refused")
	case err != nil && !errors.As(err, &exit):
		ts.Fatalf("%v", err)
	case exit != nil && exit.ExitCode() != want:
		ts.Fatalf("the exit status is %d, not %d", exit.ExitCode(), want)
	}
	said := strings.TrimSuffix(ts.ReadFile("stderr"), "\n")
	if !strings.HasPrefix(said, "hallmark: ") || strings.Contains(said, "\n") {
		ts.Fatalf("it must say why in one line that begins with \"hallmark: \", and not:\n%s", said)
	}
}

// ready ADDRESS waits until a hub answers there that it is ready; https://ADDRESS for one with TLS.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready [https://]ADDRESS")
	}
	url := args[0]
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	eventually(ts, url+" to be ready", func() error {
		status, err := get(url+"/readyz", io.Discard)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
}

// terminate sends SIGTERM to everything that runs in the background, as systemd and docker do; `wait` says how it ended.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: terminate")
	}
	for _, c := range ts.BackgroundCmds() {
		ts.Check(c.Process.Signal(syscall.SIGTERM))
	}
}

// mode FILE MODE says that a file has these rights, such as 0600.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode FILE MODE")
	}
	st, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", st.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, not %s", args[0], got, args[1])
	}
}

// answers STATUS URL asks for a page; its body is there for stdout afterwards.
func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: answers STATUS URL")
	}
	var body bytes.Buffer
	status, err := get(args[1], &body)
	ts.Check(err)
	_, err = body.WriteTo(ts.Stdout())
	ts.Check(err)
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("%s answers %d, not %s", args[1], status, args[0])
	}
}

// occupy ADDRESS listens there until the script ends, as another program would.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupy ADDRESS")
	}
	l, err := net.Listen("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { l.Close() })
}

// certificate NAME CERT KEY makes a certificate of a host with this name, valid for 127.0.0.1, and its key.
func certificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: certificate NAME CERT KEY")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: args[0]},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	// The key comes first: a hub that looks in between finds a pair that does not match and keeps the one it has.
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o644))
}

// shows NAME ADDRESS waits until the hub there shows the certificate of that name.
func shows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: shows NAME ADDRESS")
	}
	eventually(ts, args[1]+" to show the certificate of "+args[0], func() error {
		// Nothing is sent: which certificate it is, is the question.
		c, err := tls.Dial("tcp", args[1], &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err
		}
		defer c.Close()
		if got := c.ConnectionState().PeerCertificates[0].Subject.CommonName; got != args[0] {
			return fmt.Errorf("it shows that of %s", got)
		}
		return nil
	})
}

// sql FILE STATEMENT changes a SQLite database behind the hub's back.
func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql FILE STATEMENT")
	}
	_, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	d, err := sql.Open("sqlite", "file:"+ts.MkAbs(args[0]))
	ts.Check(err)
	defer d.Close()
	_, err = d.Exec(args[1])
	ts.Check(err)
}

// untold FILE says that neither stdout nor stderr of the last command has what the file holds.
func untold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: untold FILE")
	}
	secret := strings.TrimSpace(ts.ReadFile(args[0]))
	if len(secret) < 12 {
		ts.Fatalf("%s holds %q, which is no secret", args[0], secret)
	}
	for _, stream := range []string{"stdout", "stderr"} {
		if strings.Contains(ts.ReadFile(stream), secret) {
			ts.Fatalf("%s tells the secret of %s", stream, args[0])
		}
	}
}

func get(url string, body io.Writer) (int, error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // it made its certificate itself
	}}
	res, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(body, res.Body)
	return res.StatusCode, err
}

// eventually is the only place that waits for something without an event to wait on.
func eventually(ts *testscript.TestScript, what string, check func() error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("waited for %s: %v", what, err)
		}
	}
}
