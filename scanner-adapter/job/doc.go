// Package job is what the adapter and the child that it starts tell each other. It imports image for its limits. Both
// directions are one JSON document through a pipe.
package job
