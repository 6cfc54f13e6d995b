package service

import (
	"errors"
	"net/http"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/database"
)

// maxUpload bounds an archive of a database as it is sent, and uploadTime how long it may take.
const (
	maxUpload  = 4 << 30
	uploadTime = time.Hour
)

// databases says how old the databases are.
func (s *Service) databases(w http.ResponseWriter, _ *http.Request) {
	all := map[string]database.State{}
	for _, d := range s.opt.Databases {
		all[d.Kind.Name] = d.State()
	}
	answer(w, http.StatusOK, "application/json", all)
}

// upload takes a database that somebody brings: db.tar.gz or javadb.tar.gz, as it is published. It may be older than the
// one that is there: whoever brings it wants that.
func (s *Service) upload(w http.ResponseWriter, r *http.Request) {
	for _, d := range s.opt.Databases {
		if d.Kind.Name != r.PathValue("kind") {
			continue
		}
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(uploadTime))
		_ = control.SetWriteDeadline(time.Now().Add(uploadTime))
		body := http.MaxBytesReader(w, r.Body, maxUpload)
		err := s.opt.Store.Import(r.Context(), d.Kind, "upload", true, func(dir string) error {
			return database.Unpack(r.Context(), d.Kind, body, dir)
		})
		var refused *database.Refused
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			failure(w, http.StatusRequestEntityTooLarge, "The database has more than 4 GiB.")
		case errors.As(err, &refused):
			failure(w, http.StatusUnprocessableEntity, refused.Message)
		case err != nil:
			s.opt.Log.Error("the database could not be imported", "error", err)
			failure(w, http.StatusInternalServerError, "The database could not be imported: "+err.Error())
		default:
			answer(w, http.StatusOK, "application/json", d.State())
		}
		return
	}
	failure(w, http.StatusNotFound, "The databases are db (vulnerabilities) and java-db (the index of Java archives).")
}
