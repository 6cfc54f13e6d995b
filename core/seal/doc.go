// Package seal keeps secrets that lie in rows and files: sealed under the hub's one master key, or as the hash of a
// token that only its holder has.
//
// It imports the standard library only. keyring.go seals and opens, master.go finds or makes the master key, token.go
// makes tokens that secret scanners recognise, file.go writes a file that is whole or absent.
package seal
