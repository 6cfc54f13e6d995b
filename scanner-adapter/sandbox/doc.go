// Package sandbox runs a child process with hostile work to do: no environment, a directory and a process group of its
// own, its work through a pipe, and limits on time, processor, memory, disk and output that end it with a reason. Seal is
// the child's part: what it gives up before it looks at anything hostile. It imports nothing of ours. Read run.go first.
package sandbox
