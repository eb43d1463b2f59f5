package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"posthaste/filter/dlp"
)

// A DocumentRequest names a registered document. Fingerprint is of those to be added; the document
// itself stays with who asks.
type DocumentRequest struct {
	Name        string          `json:"name"`
	Fingerprint dlp.Fingerprint `json:"fingerprint,omitzero"`
}

// AddDocument registers a document that rules of [[dlp]] may name.
func (a *Admin) AddDocument(ctx context.Context, r DocumentRequest) error {
	return a.cfg.Documents.Add(ctx, r.Name, r.Fingerprint, time.Now())
}

// DeleteDocument forgets a document.
func (a *Admin) DeleteDocument(ctx context.Context, r DocumentRequest) error {
	err := a.cfg.Documents.Delete(ctx, r.Name)
	if errors.Is(err, dlp.ErrNoDocument) {
		return fmt.Errorf("there is no document %q: posthaste dlp fingerprint list shows them", r.Name)
	}
	return err
}

// Documents yields the registered documents by name.
func (a *Admin) Documents(ctx context.Context) iter.Seq2[dlp.Document, error] {
	return func(yield func(dlp.Document, error) bool) {
		list, err := a.cfg.Documents.List(ctx)
		for _, d := range list {
			if !yield(d, nil) {
				return
			}
		}
		if err != nil {
			yield(dlp.Document{}, err)
		}
	}
}
