// Command makedb writes the databases of the tests as Trivy publishes its own: db.tar.gz and javadb.tar.gz. For tests only. It imports
// package vulndb.
package main
