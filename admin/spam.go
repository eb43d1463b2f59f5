package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	"posthaste/filter/spam/classifier"
	"posthaste/mail"
	"posthaste/mailfile"
	"posthaste/message"
)

// errNoClassifier is the answer where there is nothing to teach.
var errNoClassifier = errors.New("this node has no spam classifier")

// A SpamRequest says whose classifier is meant: that of an account, or with no address that for all.
type SpamRequest struct {
	Address string `json:"address,omitempty"`
	Spam    bool   `json:"spam,omitempty"` // of a lesson: the messages are spam, else they are ham
	Content []byte `json:"content,omitempty"`
}

// Learned tells what a lesson taught.
type Learned struct {
	Messages int `json:"messages"`
	Known    int `json:"known"` // that were learned before, and taught nothing
}

// LearnSpam teaches the classifier messages of one class.
func (a *Admin) LearnSpam(ctx context.Context, r SpamRequest, messages iter.Seq2[mailfile.Message, error]) (Learned, error) {
	var done Learned
	id, err := a.taught(ctx, r)
	if err != nil {
		return done, err
	}
	class := classifier.Ham
	if r.Spam {
		class = classifier.Spam
	}
	for m, err := range messages {
		if err != nil {
			return done, fmt.Errorf("after %d messages: %w", done.Messages, err)
		}
		parsed := message.Parse(m.Content)
		news, err := a.cfg.Spam.Learn(ctx, id, a.cfg.Spam.Tokenize(parsed), classifier.Key(parsed), class)
		if err != nil {
			return done, fmt.Errorf("after %d messages: %w", done.Messages, err)
		}
		done.Messages++
		if !news {
			done.Known++
		}
	}
	return done, a.cfg.Spam.Flush(ctx)
}

// SpamStats tells what the classifier has learned.
func (a *Admin) SpamStats(ctx context.Context, r SpamRequest) (classifier.Stats, error) {
	id, err := a.taught(ctx, r)
	if err != nil {
		return classifier.Stats{}, err
	}
	return a.cfg.Spam.Stats(ctx, id)
}

// TestSpam tells what the classifier thinks of a message.
func (a *Admin) TestSpam(ctx context.Context, r SpamRequest) (classifier.Opinion, error) {
	id, err := a.taught(ctx, r)
	if err != nil {
		return classifier.Opinion{}, err
	}
	return a.cfg.Spam.Score(ctx, id, a.cfg.Spam.Tokenize(message.Parse(r.Content)))
}

// taught returns the account that r names, or 0.
func (a *Admin) taught(ctx context.Context, r SpamRequest) (mail.AccountID, error) {
	if a.cfg.Spam == nil {
		return 0, errNoClassifier
	}
	if r.Address == "" {
		return 0, nil
	}
	account, err := a.account(ctx, r.Address)
	return account.ID, err
}

// serveLearnSpam takes a SpamRequest in the first line, then messages with their heads.
func (a *Admin) serveLearnSpam(w http.ResponseWriter, r *http.Request) {
	body := bufio.NewReaderSize(r.Body, 256<<10)
	writeLines(w, func(yield func(any, error) bool) {
		var request SpamRequest
		if err := readLine(body, &request); err != nil {
			yield(nil, err)
			return
		}
		done, err := a.LearnSpam(r.Context(), request, readMessages(body))
		yield(done, err)
	})
}

// LearnSpam sends messages to be learned.
func (c *Client) LearnSpam(ctx context.Context, r SpamRequest, messages iter.Seq2[mailfile.Message, error]) (Learned, error) {
	reader, writer := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		buffered := bufio.NewWriterSize(writer, 256<<10)
		err := json.NewEncoder(buffered).Encode(r)
		for m, readErr := range messages {
			if err = errors.Join(err, readErr); err != nil {
				break
			}
			err = writeMessage(buffered, m)
		}
		err = errors.Join(err, buffered.Flush())
		sent <- err
		writer.CloseWithError(err) // nil is the end of the stream
	}()
	var done Learned
	var failed error
	readLines(ctx, c, "spam/learn", reader, func(l Learned, err error) bool {
		done, failed = l, err
		return true
	})
	reader.Close()
	if err := <-sent; err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return done, err
	}
	return done, failed
}
