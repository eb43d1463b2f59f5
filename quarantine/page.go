package quarantine

import (
	"bytes"
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"strings"
)

// Path is where the pages of links are served; it ends in a slash.
const Path = "/quarantine/"

//go:embed style.css
var style []byte

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// A page is what one page shows: a question with a button, or what became of it.
type page struct {
	Title string
	Text  string
	Entry *Entry // nil: no message is shown
	Date  string
	// Button is the word on the button that does it; empty: there is nothing to do.
	Button string
	Danger bool // the button destroys something
}

// Handler serves the links of digests below Path. GET shows what a link would do, and changes nothing:
// programs that look at links before people do would else decide for them. POST, which the button of
// that page sends, does it. Whoever has the link may do it; there is no login.
func (q *Quarantine) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path+"style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Write(style)
	})
	mux.HandleFunc("GET "+Path+"{action}/{id}", func(w http.ResponseWriter, r *http.Request) { q.serve(w, r, q.ask) })
	mux.HandleFunc("POST "+Path+"{action}/{id}", func(w http.ResponseWriter, r *http.Request) { q.serve(w, r, q.act) })
	return mux
}

// serve answers a request for a link by do, or says why not.
func (q *Quarantine) serve(w http.ResponseWriter, r *http.Request, do func(*http.Request, link) (page, error)) {
	secret, err := q.secret(r.Context())
	if secret == nil && err == nil {
		err = errLink
	}
	var l link
	if err == nil {
		l, err = parseLink(strings.TrimPrefix(r.URL.Path, Path), r.URL.Query(), secret, q.cfg.Clock())
	}
	var p page
	if err == nil {
		p, err = do(r, l)
	}
	status := http.StatusOK
	if err != nil {
		status, p = refusal(err)
	}
	if status == http.StatusInternalServerError {
		q.cfg.Log.Error("quarantine: cannot do what a link asks for", "id", string(l.id), "err", err)
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		q.cfg.Log.Error("quarantine: page", "err", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// refusal returns status and page for what cannot be done.
func refusal(err error) (int, page) {
	switch {
	case errors.Is(err, errLink):
		return http.StatusNotFound, page{Title: "This link does not work", Text: "It may have been cut off on its way. Copy the whole of it from the mail, or ask whoever looks after your mail."}
	case errors.Is(err, errExpired):
		return http.StatusGone, page{Title: "This link has expired", Text: "The message was kept for as long as messages are, and then deleted."}
	case errors.Is(err, ErrGone), errors.Is(err, ErrNotFound):
		return http.StatusGone, page{Title: "The message is not there any more", Text: "It was released or deleted before, or it was kept for as long as messages are."}
	}
	return http.StatusInternalServerError, page{Title: "That did not work", Text: "Something is wrong here. The message is still kept: try again later."}
}

// words are those of an action.
var words = map[action]struct{ title, text, button, done, after string }{
	actRelease: {"Release this message?", "It was kept apart because it looks dangerous or unwanted. Release it only if you expect it.",
		"Release it", "The message is released", "It will be in your inbox in a moment."},
	actTrust: {"Release this message and trust its sender?", "It was kept apart because it looks dangerous or unwanted. Mail that is proven to be from this sender will not be kept apart any more.",
		"Release and trust", "The message is released", "It will be in your inbox in a moment, and its sender is trusted."},
	actDelete: {"Delete this message?", "It will be gone for good.",
		"Delete it", "The message is deleted", "There is nothing left to do."},
}

// ask returns the page that asks whether to do it.
func (q *Quarantine) ask(r *http.Request, l link) (page, error) {
	rec, err := q.record(r.Context(), l.id)
	if err != nil {
		return page{}, err
	}
	if waiting, err := rec.waiting(&Choice{Owner: l.owner}, Kept); len(waiting) == 0 {
		return page{}, err
	}
	rec.Author, rec.Subject = rec.author(), rec.subject()
	w := words[l.action]
	return page{Title: w.title, Text: w.text, Entry: &rec.Entry, Date: rec.Time.In(q.cfg.Clock().Location()).Format("2 January 2006, 15:04 MST"),
		Button: w.button, Danger: l.action == actDelete}, nil
}

// act does it.
func (q *Quarantine) act(r *http.Request, l link) (page, error) {
	c := Choice{Owner: l.owner, By: "a link for " + l.owner, Trust: l.action == actTrust}
	do := q.Release
	if l.action == actDelete {
		do = q.Delete
	}
	err := do(r.Context(), l.id, c)
	w := words[l.action]
	return page{Title: w.done, Text: w.after}, err
}
