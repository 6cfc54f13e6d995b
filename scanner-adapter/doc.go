// Command scanner-adapter lets a registry use Trivy through the Pluggable Scanner Adapter API of Harbor. It is a module of
// its own, because Trivy brings some 2,700 packages; the hub knows nothing of it but HTTP.
//
// Rooms: service answers, worker and sandbox run one child per scan, child is what runs there: image fetches and measures,
// trivy scans. spec, report and database are what they are called. Only child and trivy are linked with Trivy, so that
// everything else is built and tested in seconds. Read main.go first.
package main
