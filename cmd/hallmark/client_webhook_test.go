package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const webhookSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// receiver answers a status until the test ends, and says on the channel what came.
func receiver(t *testing.T, status int) (address string, came chan string) {
	t.Helper()
	came = make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		came <- r.Header.Get("Webhook-Signature") + " " + string(body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "as it is")
	}))
	t.Cleanup(srv.Close)
	return srv.URL, came
}

func TestWebhookCommands(t *testing.T) {
	s := newShell(t, "HALLMARK_WEBHOOK_ALLOW=127.0.0.0/8")
	s.login()
	s.must("", "create", "project", "team")
	good, came := receiver(t, http.StatusOK)
	bad, _ := receiver(t, http.StatusTeapot)

	out, errs, err := s.run(good+"/key-canary\n"+webhookSecret+"\n", "create", "webhook", "ci", "--project", "team", "--url", "-", "--secret",
		"--events", "artifact.pushed,tag.*", "--repositories", "team/**", "--lang", "zh")
	if err != nil || out != "webhook/ci created\n" || errs != "The test was taken.\n" {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	if got := <-came; !strings.HasPrefix(got, "v1,") || !strings.Contains(got, "io.hallmark.webhook.ping") {
		t.Error(got)
	}
	s.must("", "create", "webhook", "ops", "--url", bad, "--events", "job.dead", "--paused", "on")
	out, _, err = s.run("", "create", "webhook", "team/other", "--url", bad, "--events", "*")
	if exitCode(err) != 1 || !strings.Contains(out, "created") || !strings.Contains(err.Error(), "it was saved, but it does not work yet: the receiver answered 418") ||
		!strings.Contains(err.Error(), "as it is") {
		t.Errorf("%v %s", err, out)
	}
	for _, c := range []struct{ line, want string }{
		{"get webhooks --project team", "ci     http     127.0.0.1"},
		{"get webhook team/ci -o json", `"repositories": [`},
		{"get webhooks", "ops"},
		{"webhook set ci --project team --events artifact.*", "webhook/ci changed"},
		{"webhook set team/other --paused on --min-severity Low", "webhook/team/other changed"},
		{"webhook set ops --lang zh -o yaml", "paused: true"},
		{"get webhook ci --project team -o yaml", "team/**"},
		{"delete webhook team/other", "deleted"},
		{"get deliveries --webhook team/ci", "ATTEMPTS"},
	} {
		if out := s.must("", strings.Split(c.line, " ")...); !strings.Contains(out, c.want) || strings.Contains(out, "canary") || strings.Contains(out, webhookSecret) {
			t.Errorf("%s: %s", c.line, out)
		}
	}
	out, errs, err = s.run("", "webhook", "test", "team/ci")
	if err != nil || out+errs != "The test was taken.\n" || !strings.HasPrefix(<-came, "v1,") {
		t.Errorf("after changes: %v %s%s", err, out, errs)
	}
	s.fails(1, "418", "webhook", "test", "ops")
	s.fails(1, "hallmark webhook set ci", "create", "webhook", "ci", "--project", "team", "--url", good, "--events", "*")
	s.fails(1, "hallmark get webhooks", "webhook", "test", "nobody")
	s.fails(1, "no event", "create", "webhook", "x", "--url", good, "--events", "artifact.eaten")
	s.fails(1, "mail server", "create", "webhook", "x", "--channel", "email", "--to", "ada@example.org", "--events", "*")
	s.fails(2, "--events", "create", "webhook", "x", "--url", good)
	s.fails(2, "--paused is on or off", "webhook", "set", "ops", "--paused", "maybe")
	s.fails(2, "say what to change", "webhook", "set", "ops")
	s.fails(2, "say what", "webhook")
	s.fails(2, "--webhook", "get", "deliveries")
	s.fails(2, "a list", "get", "deliveries", "x", "--webhook", "ops")
	s.fails(1, "no such delivery", "webhook", "redeliver", "018f2f6e-1c7e-7d1c-9a43-5a6f0c9a2b11", "--webhook", "team/ci")
	s.fails(2, "--webhook", "webhook", "redeliver", "018f2f6e-1c7e-7d1c-9a43-5a6f0c9a2b11")
	s.fails(2, "cannot be deleted", "delete", "delivery", "x")
}

func TestWebhookCompletion(t *testing.T) {
	s := newShell(t)
	s.login()
	s.must("", "create", "project", "team")
	s.must("", "create", "webhook", "ci", "--project", "team", "--url", "https://ci.example.org/", "--events", "*", "--paused", "on")
	for line, want := range map[string]string{"__complete webhook test --project team ": "ci", "__complete webhook set team/": "team/ci",
		"__complete get deliveries --project team --webhook ": "ci", "__complete create webhook x --events ": "artifact.vulnerable",
		"__complete create webhook x --channel ": "wecom", "__complete delete webhook --project team ": "ci", "__complete create webhook x --min-severity ": "High"} {
		if out := s.must("", strings.Split(line, " ")...); !strings.Contains(out, want) {
			t.Errorf("%q: %s", line, out)
		}
	}
}
