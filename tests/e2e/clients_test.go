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
	chosen := chosenClients(t)
	for _, name := range listed(t, "E2E_STACKS", []string{"sqlite", "postgres"}) {
		t.Run(name, func(t *testing.T) {
			// Whether content is trusted is another question, which TestGate asks.
			s := startStack(t, name, "HALLMARK_BASELINE=off")
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

// chosenClients are those that E2E_CLIENTS names; "gate", "existing" and "scan" stand for the tests of these names.
func chosenClients(t *testing.T) []string {
	t.Helper()
	names := []string{"gate", "existing", "scan"}
	for _, c := range clients {
		names = append(names, c.name)
	}
	return listed(t, "E2E_CLIENTS", names)
}

// listed reads a comma separated choice among known names; unset and "all" mean all of them. A name
// that does not exist is an error, for it would silently test nothing.
func listed(t *testing.T, variable string, known []string) []string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" || value == "all" {
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
