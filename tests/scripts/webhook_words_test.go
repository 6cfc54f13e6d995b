package scripts

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// receiver VARIABLE FILE starts somebody who is told what happens, and sets the variable to the address. What is not signed with
// the secret in the file, as Standard Webhooks say, is answered 401; at /gone everything is answered 410.
func startReceiver(ts *testscript.TestScript, args []string) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(ts.ReadFile(args[1])), "whsec_"))
	ts.Check(err)
	var mu sync.Mutex
	var heard []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, strings.Join(heard, "\n"))
			return
		}
		id, body, ok := signedBy(key, r)
		var e struct{ SpecVersion, Type, Subject string }
		switch {
		case !ok:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/gone":
			w.WriteHeader(http.StatusGone)
		case json.Unmarshal(body, &e) != nil || e.SpecVersion != "1.0":
			w.WriteHeader(http.StatusBadRequest)
		default:
			heard = append(heard, id+" "+strings.TrimPrefix(e.Type, "io.hallmark.")+" "+e.Subject)
		}
	}))
	ts.Defer(srv.Close)
	ts.Setenv(args[0], srv.URL)
}

func signedBy(key []byte, r *http.Request) (id string, body []byte, ok bool) {
	body, err := io.ReadAll(r.Body)
	id = r.Header.Get("Webhook-Id")
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, r.Header.Get("Webhook-Timestamp"), body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return id, body, err == nil && slices.Contains(strings.Fields(r.Header.Get("Webhook-Signature")), want)
}

// hears ADDRESS TYPE SUBJECT N waits until a receiver was told that so often, each time with the same id.
func hears(ts *testscript.TestScript, args []string) {
	want, err := strconv.Atoi(args[3])
	ts.Check(err)
	eventually(ts, args[0]+" to hear "+args[1], func() error {
		var text strings.Builder
		if _, err := get(args[0], &text); err != nil {
			return err
		}
		ids, n := map[string]bool{}, 0
		for line := range strings.Lines(text.String()) {
			if id, rest, _ := strings.Cut(strings.TrimSpace(line), " "); rest == args[1]+" "+args[2] {
				ids[id], n = true, n+1
			}
		}
		if n != want || len(ids) != 1 {
			return fmt.Errorf("%d times with %d ids, of:\n%s", n, len(ids), text.String())
		}
		return nil
	})
}

// delivered PROJECT WEBHOOK TYPE sets $delivery to the id of the only delivery of that type, when it has been delivered.
func delivered(ts *testscript.TestScript, args []string) {
	eventually(ts, args[1]+" to have delivered "+args[2], func() error {
		_, body := ask(ts, true, "GET", "/api/v1/projects/"+args[0]+"/webhooks/"+args[1]+"/deliveries", "", nil)
		var all []struct{ ID, Type, State string }
		if err := json.Unmarshal(body, &all); err != nil {
			return err
		}
		for _, d := range all {
			if d.Type == args[2] && d.State == "delivered" {
				ts.Setenv("delivery", d.ID)
				return nil
			}
		}
		return fmt.Errorf("there are %s", body)
	})
}

// paused PROJECT WEBHOOK waits until the hub itself has paused a webhook.
func paused(ts *testscript.TestScript, args []string) {
	eventually(ts, args[1]+" to be paused", func() error {
		_, body := ask(ts, true, "GET", "/api/v1/projects/"+args[0]+"/webhooks/"+args[1], "", nil)
		var w struct{ Paused bool }
		if err := json.Unmarshal(body, &w); err != nil || !w.Paused {
			return fmt.Errorf("it is %s %v", body, err)
		}
		return nil
	})
}
