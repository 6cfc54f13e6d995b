//go:build e2e

package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// clients are the tests, by the names E2E_CLIENTS takes.
var clients = []struct {
	name string
	test func(t *testing.T, s *stack)
}{
	{"docker", testDocker}, // first, because it takes longest
	{"cosign", testCosign3},
	{"cosign2", testCosign2},
	{"ctr", testCtr},
	{"podman", testPodman},
	{"buildah", testBuildah},
	{"skopeo", testSkopeo},
	{"crane", testCrane},
	{"regctl", testRegctl},
	{"oras", testOras},
	{"helm", testHelm},
}

// TestClients runs every client against every stack. The stacks come one after the
// other; the clients of one stack share its hub, side by side.
func TestClients(t *testing.T) {
	names := make([]string, len(clients))
	for i, c := range clients {
		names[i] = c.name
	}
	chosen := listed(t, "E2E_CLIENTS", names)
	for _, name := range listed(t, "E2E_STACKS", []string{"sqlite", "postgres"}) {
		t.Run(name, func(t *testing.T) {
			s := startStack(t, name)
			for _, c := range clients {
				if slices.Contains(chosen, c.name) {
					t.Run(c.name, func(t *testing.T) {
						t.Parallel()
						c.test(t, s)
					})
				}
			}
		})
	}
}

// listed reads a comma separated choice among known names; unset means all. A name
// that does not exist is an error, for it would silently test nothing.
func listed(t *testing.T, variable string, known []string) []string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		return known
	}
	names := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
	for _, name := range names {
		if !slices.Contains(known, name) {
			t.Fatalf("%s: no %q; known: %s", variable, name, strings.Join(known, ", "))
		}
	}
	return names
}

// TestMain removes what the tests of one run share.
func TestMain(m *testing.M) {
	code := m.Run()
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}
