package attack

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// TestV60BusyProject: many commits in one project at once all succeed, are counted exactly, and keep nobody from a token.
func TestV60BusyProject(t *testing.T) {
	newHubs("HALLMARK_LIMITS_UPLOADS_PER_PRINCIPAL=1000").on(t, func(t *testing.T, h *hub) {
		project := h.project(t, "busy", "private")
		p, reader := h.newMember(t, project, "developer"), h.newMember(t, project, "guest")
		const commits, size = 200, 4096
		shared := randomBytes(size)
		var pushing, asking sync.WaitGroup
		var over atomic.Bool
		var tokens atomic.Int64
		for range 4 {
			asking.Go(func() {
				for !over.Load() {
					a, err := h.try(reader, "GET", "/service/token?service=hallmark&scope=repository:"+project+"/r0:pull", nil)
					if err != nil || a.status != 200 {
						t.Errorf("a token meanwhile: %v, %v", a, err)
						return
					}
					tokens.Add(1)
				}
			})
		}
		for i := range commits {
			pushing.Go(func() {
				content := shared // every fourth is the same blob, in several repositories
				if i%4 != 0 {
					content = randomBytes(size)
				}
				path := fmt.Sprintf("/v2/%s/r%d/blobs/uploads/?digest=%s", project, i%8, digestOf(content))
				if a, err := h.try(p, "POST", path, content); err != nil || a.status != 201 {
					t.Errorf("commit %d: %v, %v", i, a, err)
				}
			})
		}
		pushing.Wait()
		over.Store(true)
		asking.Wait()
		if tokens.Load() == 0 {
			t.Error("no token was issued meanwhile")
		}
		var used, uploads int64
		d := h.open(t)
		err := d.QueryRow(t.Context(), `SELECT coalesce(sum(b.size), 0) FROM project_blob b JOIN project p ON p.id = b.project_id WHERE p.name = $1`, project).Scan(&used)
		if want := int64(commits*3/4+1) * size; err != nil || used != want {
			t.Errorf("the project is charged %d bytes, not %d: %v", used, want, err)
		}
		if err := d.QueryRow(t.Context(), `SELECT count(*) FROM upload`).Scan(&uploads); err != nil || uploads != 0 {
			t.Errorf("%d uploads are left: %v", uploads, err)
		}
		t.Logf("%d tokens meanwhile", tokens.Load())
	})
}
