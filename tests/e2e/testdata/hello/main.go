// Command hello is the whole content of the images the client tests push. It
// imports nothing, so that building it for a second platform stays cheap.
package main

func main() { println("hello from hallmark") }
