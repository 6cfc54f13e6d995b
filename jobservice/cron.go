package jobservice

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a zone means the same on every machine, also where none are installed

	"github.com/netresearch/go-cron"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
)

// Schedule makes a job at certain times.
type Schedule struct {
	Name string // unique in the hub
	Kind string
	Spec string // see CheckSpec

	// FromSetting says that administrators set Spec where the hub is set up: at each start it stands as it is there, and an empty
	// one is none.
	FromSetting bool
}

// Timetable is a schedule as it stands. Times are in UTC and zero where there is none.
type Timetable struct {
	Schedule
	Paused  bool
	NextAt  time.Time
	LastAt  time.Time // the time that LastJob was made for
	LastJob string
}

// CheckSpec refuses what is no schedule: five fields (minute, hour, day of the month, month, day of the week; of the two
// days one has to fit, as cron has it) or @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually. Times are
// in UTC, unless CRON_TZ=Europe/Berlin or the like stands before them. core.CodeInvalid says what is wrong.
func CheckSpec(spec string) error {
	_, err := parseSpec(spec)
	return err
}

// specLimit is how many bytes a schedule may have.
const specLimit = 200

func parseSpec(spec string) (cron.Schedule, error) {
	refuse := func(why string) (cron.Schedule, error) {
		return nil, core.Invalid("/spec", "%q is no schedule: %s. Five fields are one, such as 30 3 * * 1-5, and so is @daily; CRON_TZ=Europe/Berlin may stand before them.",
			clip(spec), why)
	}
	zoned, times := spec, strings.TrimSpace(spec)
	switch zone, rest, _ := strings.Cut(spec, " "); {
	case len(spec) > specLimit:
		return refuse(fmt.Sprintf("it has more than %d bytes", specLimit))
	case zone == "CRON_TZ=Local" || zone == "TZ=Local":
		return refuse("Local is another zone on every machine")
	case strings.HasPrefix(zone, "CRON_TZ=") || strings.HasPrefix(zone, "TZ="):
		times = strings.TrimSpace(rest)
	default:
		zoned = "CRON_TZ=UTC " + times
	}
	names := []string{"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"}
	if strings.HasPrefix(times, "@") && !slices.Contains(names, times) {
		return refuse("of the words there are only " + strings.Join(names, ", "))
	}
	parser, err := cron.TryNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.DowOrDom)
	if err != nil {
		return nil, err
	}
	s, err := parser.Parse(zoned)
	if err != nil {
		return refuse(clip(err.Error()))
	}
	if s.Next(time.Now()).IsZero() {
		return refuse("there is no such day")
	}
	return s, nil
}

// Next is when a schedule (see CheckSpec) is due after a time.
func Next(spec string, after time.Time) (time.Time, error) {
	s, err := parseSpec(spec)
	if err != nil {
		return time.Time{}, err
	}
	return s.Next(after), nil
}

// next is when a schedule is due after a time.
func next(s cron.Schedule, after int64) int64 { return s.Next(db.Time(after)).UnixMicro() }

// Cron makes jobs of a kind at the times of a schedule, without payload, once however many processes ask for it. A time at
// which no process ran is made up for, once, by the first that runs; one at which the job before has not ended is left
// out. What administrators changed stays. It panics if the schedule is none: it is one of ours.
func (r *Runner) Cron(s Schedule) {
	if err := CheckSpec(s.Spec); err != nil && !s.none() {
		panic(err)
	}
	r.crons = append(r.crons, s)
}

// none says that a setting wants no such schedule.
func (s Schedule) none() bool { return s.FromSetting && s.Spec == "" }

// writeCrons writes the rows of schedules that are new, and those of settings as they are set.
func (r *Runner) writeCrons(ctx context.Context) error {
	return r.db.Write(ctx, func(tx *db.Tx) error {
		for _, s := range r.crons {
			if s.none() {
				if _, err := tx.Exec(`DELETE FROM cron WHERE name = $1`, s.Name); err != nil {
					return err
				}
				continue
			}
			at, err := parseSpec(s.Spec)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO cron (name, kind, spec, payload, next_at) VALUES ($1, $2, $3, '{}', $4)
				ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, next_at = excluded.next_at WHERE CAST($5 AS BOOLEAN) AND cron.spec <> excluded.spec`,
				s.Name, s.Kind, s.Spec, next(at, tx.Now()), s.FromSetting); err != nil {
				return err
			}
		}
		return nil
	})
}

const cronColumns = `name, kind, spec, paused, next_at, coalesce(last_at, 0), last_job`

func scanTimetable(scan func(...any) error) (*Timetable, error) {
	var t Timetable
	var nextAt, lastAt int64
	err := scan(&t.Name, &t.Kind, &t.Spec, &t.Paused, &nextAt, &lastAt, &t.LastJob)
	t.NextAt = db.Time(nextAt)
	if lastAt != 0 {
		t.LastAt = db.Time(lastAt)
	}
	return &t, err
}

// Schedules returns up to n schedules by name behind one, and whether there are more. An n of 0 is all.
func Schedules(ctx context.Context, d *db.DB, after string, n int) (page []*Timetable, more bool, err error) {
	if n <= 0 {
		n = math.MaxInt32
	}
	err = d.Query(ctx, `SELECT `+cronColumns+` FROM cron WHERE name > $1 ORDER BY name LIMIT $2`, []any{after, int64(n) + 1},
		func(scan func(...any) error) error {
			t, err := scanTimetable(scan)
			page = append(page, t)
			return err
		})
	if len(page) > n {
		page, more = page[:n], true
	}
	return page, more, err
}

// GetSchedule returns one schedule; core.CodeNotFound if there is none.
func GetSchedule(ctx context.Context, d *db.DB, name string) (*Timetable, error) {
	return foundSchedule(name)(scanTimetable(d.QueryRow(ctx, oneCron, name).Scan))
}

const oneCron = `SELECT ` + cronColumns + ` FROM cron WHERE name = $1`

func foundSchedule(name string) func(*Timetable, error) (*Timetable, error) {
	return func(t *Timetable, err error) (*Timetable, error) {
		if errors.Is(err, db.ErrNoRows) {
			return nil, core.Errorf(core.CodeNotFound, "There is no schedule %s.", clip(name))
		}
		return t, err
	}
}

// fireCrons makes the jobs whose time has come and returns how long it is to the next.
func (r *Runner) fireCrons(ctx context.Context) (time.Duration, error) {
	if !r.cronsWritten && len(r.crons) > 0 {
		if err := r.writeCrons(ctx); err != nil {
			return r.opt.Sweep, err
		}
		r.cronsWritten = true
	}
	all, _, err := Schedules(ctx, r.db, "", 0)
	if err != nil {
		return r.opt.Sweep, err
	}
	wait := r.opt.Sweep
	for _, t := range all {
		if t.Paused {
			continue
		}
		at, err := parseSpec(t.Spec)
		if err != nil {
			return r.opt.Sweep, err
		}
		now := r.db.Micros()
		due := t.NextAt.UnixMicro()
		// What is later than the next time there is was reckoned by a clock that was wrong.
		if then := next(at, now); due <= now || due > then {
			if err := r.fireCron(ctx, t, due <= now, then); err != nil {
				return r.opt.Sweep, err
			}
			due = then
		}
		wait = min(wait, time.Duration(due-now)*time.Microsecond)
	}
	return wait, nil
}

// fireCron moves a schedule on and, if its time has come, makes its job, unless another process was first.
func (r *Runner) fireCron(ctx context.Context, t *Timetable, due bool, then int64) error {
	return r.db.Write(ctx, func(tx *db.Tx) error {
		slot := t.NextAt.UnixMicro()
		n, err := tx.Exec(`UPDATE cron SET next_at = $3 WHERE name = $1 AND next_at = $2 AND spec = $4 AND NOT paused`, t.Name, slot, then, t.Spec)
		if err != nil || n == 0 || !due {
			return err
		}
		id, err := r.Enqueue(tx, Job{Kind: t.Kind, UniqueKey: "schedule:" + t.Name})
		if err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE cron SET last_at = $2, last_job = $3 WHERE name = $1`, t.Name, slot, id)
		return err
	})
}

// ChangeSchedule changes when a schedule makes jobs, or whether it does; nil leaves either as it is. Times that went by
// while it was paused are not made up for. core.CodeNotFound, and core.CodeInvalid for what is no schedule.
func (r *Runner) ChangeSchedule(ctx context.Context, name string, spec *string, paused *bool) (*Timetable, error) {
	var t *Timetable
	err := r.db.Write(ctx, func(tx *db.Tx) error {
		var err error
		if t, err = foundSchedule(name)(scanTimetable(tx.QueryRow(oneCron, name).Scan)); err != nil {
			return err
		}
		before := *t
		if spec != nil {
			t.Spec = *spec
		}
		if paused != nil {
			t.Paused = *paused
		}
		if t.Schedule == before.Schedule && t.Paused == before.Paused {
			return nil
		}
		at, err := parseSpec(t.Spec)
		if err != nil {
			return err
		}
		then := next(at, tx.Now())
		t.NextAt = db.Time(then)
		if _, err := tx.Exec(`UPDATE cron SET spec = $2, paused = $3, next_at = $4 WHERE name = $1`, name, t.Spec, t.Paused, then); err != nil {
			return err
		}
		return store.Audit(tx, "schedule.change", "", name, "")
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}
