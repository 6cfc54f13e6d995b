// Package core is the domain: principals, projects, roles, actions and the errors a person sees.
//
// It imports the standard library only. principal.go says who asks, action.go what can be done, project.go where,
// error.go how a refusal is told. The rooms below it: db (one handle for both engines), store (all SQL of the domain),
// auth (request to principal), access (who may do what), trust (signatures to evidence), gate (policies and evidence to a
// decision), gatekeeper (asks gate about every read), web (what all HTTP surfaces share), api (the admin API) with
// api/client (who speaks to it), ledger (what happens beside a push and a pull), seal (keys at rest).
package core
