// Package child is the process that one scan runs in: it reads what to do from its standard input, fetches the image,
// gives up the network, measures the image, lets Trivy look at it, and writes what was found to its standard output. It
// is the only process that ever holds the image's token or its content. It imports image, sandbox and trivy. Package job
// is what parent and child tell each other.
package child
