// floor is the least a Go net/http server can do for the read set written by "regbench static": manifests from memory,
// blobs from files through sendfile. It marks the lower bound for a registry written on net/http.
package main

import (
	"flag"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:5302", "listen address")
	dir := flag.String("dir", "", "directory written by regbench static")
	flag.Parse()
	manifests := map[string][]byte{}
	err := filepath.WalkDir(*dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(p, "/manifests/") {
			return err
		}
		b, err := os.ReadFile(p)
		manifests[strings.TrimPrefix(p, *dir)] = b
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	h := func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.Path
		if p == "/v2/" {
			w.Write([]byte("{}"))
			return
		}
		if m, ok := manifests[p]; ok {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Header().Set("Content-Length", strconv.Itoa(len(m)))
			if r.Method != http.MethodHead {
				w.Write(m)
			}
			return
		}
		f, err := os.Open(*dir + filepath.Clean(p))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer func() { _ = f.Close() }() // only read
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, f)
	}
	log.Fatal(http.ListenAndServe(*addr, http.HandlerFunc(h)))
}
