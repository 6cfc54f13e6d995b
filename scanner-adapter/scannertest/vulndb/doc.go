// Package vulndb makes small, real databases of Trivy out of public facts. For tests only.
package vulndb
