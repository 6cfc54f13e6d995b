// Package scan has images scanned: it speaks the pluggable-scanner API of Harbor to adapters, which are not believed more than
// any other input, and turns what they report into facts. What is scanned when is decided here too; jobservice/work runs it.
//
// It imports core, core/{db,event,seal,store} and registry. Read client.go first, then report.go (what of a report is taken)
// and scanner.go (one scan, from the token to the rows).
package scan
