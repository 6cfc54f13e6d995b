package main

import (
	"errors"
	"fmt"
)

// firstLogins is how many users log in for the first time in one run.
const firstLogins = 4

// tokens measures the token service: the first login of a user, whose password has to be checked the slow way, further
// ones, and nobody's.
func (b *bench) tokens() error {
	if b.hub == nil {
		return errNoHub
	}
	if b.c.realm == nil {
		return errors.New("the server has no token service")
	}
	scope := scopePull(*prefix + "read")
	var last *hubUser
	for run := 1; run <= *runs; run++ {
		var users []*hubUser
		for range firstLogins {
			u, err := b.hub.newUser(b.ctx)
			if err == nil {
				err = b.hub.join(b.ctx, u)
			}
			if err != nil {
				return err
			}
			users = append(users, u)
		}
		m := b.pids.begin()
		for _, u := range users {
			if _, err := u.client.fetchToken(b.ctx, scope); err != nil {
				return err
			}
		}
		emit(record{Test: "token-first", Run: run, M: m.end(firstLogins, 0)})
		last = users[0]
	}
	if err := b.tokenLoad("token-password", last.client, scope); err != nil {
		return err
	}
	return b.tokenLoad("token-anonymous", b.c.as("", ""), scopePull(b.hub.publicProject()+"/read"))
}

func (b *bench) tokenLoad(test string, c *client, scope string) error {
	if _, err := c.fetchToken(b.ctx, scope); err != nil {
		return fmt.Errorf("%s: %w", test, err)
	}
	l := load{method: "GET", target: c.tokenURL(scope), conns: *conns, dur: *dur / 2}
	if c.user != "" {
		l.headers = []string{"Authorization: " + c.basicHeader()}
	}
	for run := 1; run <= *runs; run++ {
		m, err := b.pids.wrk(b.ctx, l)
		if err != nil {
			return err
		}
		emit(record{Test: test, Run: run, M: m})
	}
	return nil
}
