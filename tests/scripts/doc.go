// Package scripts has what people see of the program hallmark as text scripts that can be read without knowing Go:
// testdata/alone needs nothing but the binary, testdata/postgres a PostgreSQL server besides. scripts_test.go runs
// them, commands_test.go explains the words that they use.
package scripts
