package jobservice_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/jobservice"
)

func TestCheckSpec(t *testing.T) {
	for _, good := range []string{"* * * * *", "30 3 * * *", " 0 0 1 jan mon-fri ", "@daily", "@hourly", "CRON_TZ=Europe/Berlin 0 4 * * *",
		"TZ=Asia/Shanghai @weekly", "*/5 0-6,22 * * 0", "0 0 29 2 *", "0 0 1 1 *" + strings.Repeat(" ", 191)} {
		if err := jobservice.CheckSpec(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "* * * *", "* * * * * *", "60 * * * *", "0 0 30 2 *", "@every 1s", "@reboot", "CRON_TZ=Mars/Base * * * * *",
		"CRON_TZ=Local * * * * *", "TZ=Local @daily", "CRON_TZ=UTC", "CRON_TZ=../../etc/passwd * * * * *", "0 0 1 1 *" + strings.Repeat(" ", 192)} {
		if err := jobservice.CheckSpec(bad); core.CodeOf(err) != core.CodeInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// cronRun runs a schedule on three processes of one hub in a bubble, which begins on 2000-01-01 at 00:00 UTC, a Saturday.
func cronRun(t *testing.T, spec string, sweep time.Duration, during func(h *hub, ran *atomic.Int32)) {
	t.Helper()
	open := dbtest.SQLite(t)
	migrated(t, open).Close()
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		var ran atomic.Int32
		var h *hub
		for range 3 {
			h = newHub(t, d, jobservice.Options{Sweep: sweep})
			h.Register("nightly", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { ran.Add(1); return nil }})
			h.Cron(jobservice.Schedule{Name: "tidy", Kind: "nightly", Spec: spec})
			h.start()
		}
		during(h, &ran)
	})
}

// One job for each time, however many processes there are.
func TestCron(t *testing.T) {
	for _, c := range []struct {
		spec  string
		after time.Duration
		want  int32
	}{
		{"30 3 * * *", 3*time.Hour + 29*time.Minute, 0},
		{"30 3 * * *", 3*time.Hour + 31*time.Minute, 1},
		{"30 3 * * *", 3*24*time.Hour + time.Minute, 3},
		{"@hourly", 5*time.Hour + time.Minute, 5},
		// Three in the morning in Shanghai is seven in the evening.
		{"CRON_TZ=Asia/Shanghai 0 3 * * *", 18*time.Hour + 59*time.Minute, 0},
		{"CRON_TZ=Asia/Shanghai 0 3 * * *", 19*time.Hour + time.Minute, 1},
		// On the 2nd or on a Monday (the 3rd).
		{"0 0 2 * 1", 72 * time.Hour, 2},
	} {
		cronRun(t, c.spec, time.Hour, func(_ *hub, ran *atomic.Int32) {
			pass(c.after)
			synctest.Wait()
			if ran.Load() != c.want {
				t.Errorf("%s: ran %d times within %s, want %d", c.spec, ran.Load(), c.after, c.want)
			}
		})
	}
}

// What was missed while nobody ran is made up for once; a schedule that is paused makes nothing, and nothing up.
func TestCronMissedAndPaused(t *testing.T) {
	cronRun(t, "@hourly", 5*time.Second, func(h *hub, ran *atomic.Int32) {
		ctx := core.WithPrincipal(context.Background(), core.Operator())
		pass(90 * time.Minute)
		move := func(at time.Time) {
			err := h.db.Write(ctx, func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE cron SET next_at = $1`, at.UnixMicro())
				return err
			})
			if err != nil {
				h.t.Fatal(err)
			}
		}
		expect := func(what string, want int32) {
			h.t.Helper()
			pass(10 * time.Second)
			synctest.Wait()
			if ran.Load() != want {
				h.t.Errorf("%s: ran %d times, want %d", what, ran.Load(), want)
			}
		}
		expect("before", 1)
		move(h.db.Now().Add(-5 * time.Hour))
		expect("five missed", 2)
		move(h.db.Now().Add(1000 * time.Hour)) // by a clock that was wrong
		expect("far in the future", 2)
		all, _, err := jobservice.Schedules(ctx, h.db, "", 0)
		if err != nil || len(all) != 1 || all[0].NextAt.Sub(h.db.Now()) > time.Hour || all[0].LastJob == "" || all[0].LastAt.IsZero() {
			h.t.Errorf("%+v, %v", all, err)
		}
		paused := true
		if s, err := h.ChangeSchedule(ctx, "tidy", nil, &paused); err != nil || !s.Paused {
			h.t.Fatalf("%+v, %v", s, err)
		}
		pass(10 * time.Hour)
		expect("paused", 2)
		paused = false
		if _, err := h.ChangeSchedule(ctx, "tidy", nil, &paused); err != nil {
			h.t.Fatal(err)
		}
		expect("goes on", 2)
		pass(time.Hour)
		expect("an hour later", 3)
	})
}

// A schedule that is a setting stands as it is set at each start, and not at all where it is set to nothing; that it is paused stays.
func TestScheduleFromSetting(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		begin := func(spec string, there func(all []*jobservice.Timetable) bool) {
			t.Helper()
			h := newHub(t, d, quick())
			h.Register("x", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { return nil }})
			h.Cron(jobservice.Schedule{Name: "all", Kind: "x", Spec: spec, FromSetting: true})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				h.Run(ctx)
			}()
			defer func() {
				cancel()
				<-done
			}()
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for began := time.Now(); ; <-tick.C {
				all, _, err := jobservice.Schedules(t.Context(), d, "", 0)
				if err == nil && there(all) {
					return
				}
				if time.Since(began) > limit {
					t.Fatalf("set to %q it is %+v, %v", spec, all, err)
				}
			}
		}
		is := func(spec string, paused bool) func(all []*jobservice.Timetable) bool {
			return func(all []*jobservice.Timetable) bool {
				return len(all) == 1 && all[0].Spec == spec && all[0].Paused == paused && all[0].NextAt.After(d.Now())
			}
		}
		begin("@yearly", is("@yearly", false))
		begin("@weekly", is("@weekly", false))
		other, paused := "@daily", true
		if _, err := newHub(t, d, quick()).ChangeSchedule(asOperator(t), "all", &other, &paused); err != nil {
			t.Fatal(err)
		}
		begin("@weekly", is("@weekly", true))
		begin("", func(all []*jobservice.Timetable) bool { return len(all) == 0 })
		begin("@daily", is("@daily", false))
		defer func() {
			if recover() == nil {
				t.Error("what is no schedule was taken")
			}
		}()
		newHub(t, d, quick()).Cron(jobservice.Schedule{Name: "none", Kind: "x"})
	})
}

func TestChangeSchedule(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		h.Register("x", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { return nil }})
		h.Cron(jobservice.Schedule{Name: "tidy", Kind: "x", Spec: "@yearly"})
		h.start()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for began := time.Now(); ; <-tick.C {
			if all, _, err := jobservice.Schedules(t.Context(), d, "", 0); err == nil && len(all) == 1 {
				break
			}
			if time.Since(began) > limit {
				t.Fatal("the schedule is not written")
			}
		}
		bad, spec := "* *", "CRON_TZ=Europe/Berlin 0 3 * * *"
		if _, err := h.ChangeSchedule(asOperator(t), "tidy", &bad, nil); core.CodeOf(err) != core.CodeInvalid {
			t.Errorf("got %v", err)
		}
		if _, err := h.ChangeSchedule(asOperator(t), "none", &spec, nil); core.CodeOf(err) != core.CodeNotFound {
			t.Errorf("got %v", err)
		}
		for range 2 {
			s, err := h.ChangeSchedule(asOperator(t), "tidy", &spec, nil)
			if err != nil || s.Spec != spec || s.NextAt.Sub(d.Now()) > 25*time.Hour {
				t.Errorf("%+v, %v", s, err)
			}
		}
		var n int
		if err := d.QueryRow(t.Context(), `SELECT count(*) FROM audit WHERE action = 'schedule.change'`).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d entries in the audit trail, %v", n, err)
		}
		// A process that starts later leaves what was changed.
		later := newHub(t, d, quick())
		later.Cron(jobservice.Schedule{Name: "tidy", Kind: "x", Spec: "@yearly"})
		later.Cron(jobservice.Schedule{Name: "new", Kind: "x", Spec: "@yearly"})
		later.start()
		for began := time.Now(); ; <-tick.C {
			all, _, err := jobservice.Schedules(t.Context(), d, "", 0)
			if err != nil || time.Since(began) > limit {
				t.Fatal("the second schedule is not written", err)
			}
			if len(all) == 2 {
				if all[1].Spec != spec {
					t.Errorf("got %+v", all[1])
				}
				break
			}
		}
	})
}

// Many processes, one job for each minute, on both engines.
func TestCronManyRunners(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		for range 4 {
			h := newHub(t, d, quick())
			h.Register("x", jobservice.Spec{Run: func(ctx context.Context, task *jobservice.Task) error {
				return task.Finish(ctx, func(tx *db.Tx) error { return effect(tx, task, "x") })
			}})
			h.Cron(jobservice.Schedule{Name: "tidy", Kind: "x", Spec: "@yearly"})
			h.start()
		}
		due := func() {
			if err := d.Write(context.Background(), func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE cron SET next_at = $1`, tx.Now()-1)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for want := 1; want <= 5; want++ {
			for began := time.Now(); len(effects(t, d)) < want; <-tick.C {
				if len(effects(t, d)) == want-1 && time.Since(began) > limit {
					t.Fatal("no job")
				}
				var n int
				if err := d.QueryRow(t.Context(), `SELECT count(*) FROM cron WHERE next_at > $1`, d.Micros()).Scan(&n); err != nil {
					t.Fatal(err)
				}
				var made int
				if err := d.QueryRow(t.Context(), `SELECT count(*) FROM job`).Scan(&made); err != nil {
					t.Fatal(err)
				}
				if n == 1 && made == want-1 {
					due()
				}
			}
		}
		if got := effects(t, d); len(got) != 5 {
			t.Errorf("%d effects of 5 times", len(got))
		}
	})
}
