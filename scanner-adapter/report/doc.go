// Package report turns what Trivy wrote into the reports of the specification, and believes none of it: what is not
// about the image that was asked for, or not in a form we know, is an error. It imports spec. Read trivy.go first.
package report
