package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"posthaste/admin"
	"posthaste/filter/dlp"
)

// maxDocument bounds a file that is registered, in bytes.
const maxDocument = 32 << 20

type dlpCommands struct {
	Fingerprint fingerprintCommands `cmd:"" help:"Documents that rules know again by pieces of their text."`
}

type fingerprintCommands struct {
	Add    fingerprintAdd    `cmd:"" help:"Register a document, or register it anew. Its text is not kept."`
	List   fingerprintList   `cmd:"" help:"List the registered documents."`
	Delete fingerprintDelete `cmd:"" help:"Forget a document."`
}

type fingerprintAdd struct {
	Name string `arg:"" help:"Name of the document, as rules and findings have it."`
	File string `arg:"" help:"The document: text, HTML, docx, xlsx, pptx, odt, ods or odp; - is standard input."`
}

func (c *fingerprintAdd) Run(e *env) error {
	content, err := readDocument(e, c.File)
	if err != nil {
		return err
	}
	f, err := dlp.NewFingerprint(c.File, content)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return e.withAdmin(func(client *admin.Client) error {
		if _, err := admin.Call[struct{}](e.ctx, client, "dlp/fingerprint/add", admin.DocumentRequest{Name: c.Name, Fingerprint: f}); err != nil {
			return err
		}
		e.out.say("%s is registered, with %d words. A rule of [[dlp]] with documents = [%q] looks for it.", c.Name, f.Words, c.Name)
		return nil
	})
}

func readDocument(e *env, path string) ([]byte, error) {
	in := io.Reader(e.in)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	content, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err == nil && len(content) > maxDocument {
		err = fmt.Errorf("%s has more than %s", path, bytesText(maxDocument))
	}
	return content, err
}

type fingerprintList struct{}

func (c *fingerprintList) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		t := e.out.table("name", ">words", "registered")
		for d, err := range admin.List[dlp.Document](e.ctx, client, "dlp/fingerprint/list", struct{}{}) {
			if err != nil {
				return err
			}
			if e.out.json {
				if err := e.out.object(d); err != nil {
					return err
				}
				continue
			}
			t.row(oneLine(d.Name), fmt.Sprint(d.Words), timeText(d.Time, time.Now()))
		}
		t.print("no document is registered")
		return nil
	})
}

type fingerprintDelete struct {
	Name string `arg:"" help:"The document, as list names it."`
}

func (c *fingerprintDelete) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		_, err := admin.Call[struct{}](e.ctx, client, "dlp/fingerprint/delete", admin.DocumentRequest{Name: c.Name})
		if err == nil {
			e.out.say("%s is forgotten.", c.Name)
		}
		return err
	})
}
