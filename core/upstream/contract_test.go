package upstream_test

import (
	"testing"

	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/registrytest"
)

// TestContract runs the contract of a registry on projects in front of another one.
func TestContract(t *testing.T) {
	for engine, open := range map[string]func(testing.TB) dbtest.Open{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) { contract(t, open) })
	}
}

func contract(t *testing.T, open func(testing.TB) dbtest.Open) {
	registrytest.Run(t, registrytest.Subject{
		Repository: "p1/x1/app", Other: "p2/x2/other", Ctx: as, Seeds: []uint64{1, 5, 13},
		Open: func(t *testing.T) registry.Registry {
			address, _ := behind(t, "x1", "x2")
			h := newHub(t, open(t)(t))
			h.registry("old", store.RegistryPut{URL: address, PlainHTTP: true})
			h.project("p1", "old")
			h.project("p2", "old")
			return h.router
		},
		Refuses: registrytest.Refusals{AutomaticMount: registry.CodeBlobUnknown}, // see remote.MountBlob
		Allows:  registrytest.Leniencies{Unlisted: true},                         // whose registry it is lists them
	})
}

// TestContractBeside runs it on projects that lie in the hub: that there are others changes nothing.
func TestContractBeside(t *testing.T) {
	registrytest.Run(t, registrytest.Subject{Ctx: as, Seeds: []uint64{1, 5}, Open: func(t *testing.T) registry.Registry {
		h := newHub(t, dbtest.SQLite(t)(t))
		h.registry("old", store.RegistryPut{URL: "https://registry.invalid"})
		h.project("p0", "old")
		h.project("p1", "")
		h.project("p2", "")
		return h.router
	}})
}
