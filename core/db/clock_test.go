package db_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
)

// A step of this machine's clock does not move Now. On SQLite, whose clock it is, Now follows when it is measured, and
// is not steady until a second measurement confirms the step; on Postgres nothing happens at all.
func TestClockStep(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			dbtest.EachURL(t, func(t *testing.T, address string) { clockStep(t, address, step) })
		})
	}
}

func clockStep(t *testing.T, address string, step time.Duration) {
	var offset atomic.Int64
	wall := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	d, err := db.Open(t.Context(), address, db.Options{Wall: wall})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	before := d.Now()
	moved := func(want time.Duration) {
		t.Helper()
		if off := d.Now().Sub(before) - want; off < -time.Second || off > 10*time.Second {
			t.Errorf("Now is off by %s", off)
		}
	}
	measure := func(steady bool) {
		t.Helper()
		if err := d.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d.ClockSteady() != steady {
			t.Errorf("steady: %v, want %v", !steady, steady)
		}
	}
	if !d.ClockSteady() {
		t.Error("not steady after opening")
	}
	measure(true)
	offset.Store(int64(step))
	moved(0)
	if d.Engine() == db.Postgres {
		measure(true)
		moved(0)
		return
	}
	measure(false)
	moved(step)
	measure(true)
	moved(step)
}

// The database's clock, not the machine's, is what Now tells on Postgres.
func TestClockOfTheDatabase(t *testing.T) {
	wall := func() time.Time { return time.Now().Add(-5 * time.Minute) }
	d, err := db.Open(t.Context(), dbtest.PostgresURL(t), db.Options{Wall: wall})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if off := time.Since(d.Now()).Abs(); off > time.Second {
		t.Errorf("Now is off by %s", off)
	}
}

func TestClockNotSteadyWhileUnread(t *testing.T) {
	p := newProxy(t)
	d, err := db.Open(t.Context(), p.address, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p.cut()
	if err := d.Measure(t.Context()); err == nil {
		t.Error("the clock was measured without a connection")
	}
	if off := time.Since(d.Now()).Abs(); off > time.Second {
		t.Errorf("Now is off by %s", off)
	}
}
