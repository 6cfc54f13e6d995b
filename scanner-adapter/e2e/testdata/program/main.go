// A program that depends on a version of a module with known vulnerabilities. What it calls is an empty stand-in: a
// scanner reads versions from the build information.
package main

import "golang.org/x/text/language"

func main() { println(language.Name) }
