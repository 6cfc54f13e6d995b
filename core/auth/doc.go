// Package auth turns a request into a principal: password, robot, personal token, session, registry token. It issues
// registry tokens (docker token protocol) and sessions, and makes the first account.
//
// It imports core and the rooms core/{access,db,seal,store}. Read authenticate.go first, then login.go (what a password
// goes through), token.go (the registry token) and service.go (who gets one).
package auth
