package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"posthaste/admin"
	"posthaste/filter/spam/classifier"
	"posthaste/mailfile"
)

type spamCommands struct {
	Learn spamLearn `cmd:"" help:"Teach the classifier what is spam and what is wanted."`
	Stats spamStats `cmd:"" help:"Tell what the classifier has learned."`
	Test  spamTest  `cmd:"" help:"Tell what the classifier thinks of a message, and by which words."`
}

type spamLearn struct {
	Ham     bool     `xor:"class" required:"" help:"The messages are wanted: this, or --spam."`
	Spam    bool     `xor:"class" required:"" help:"The messages are spam: this, or --ham."`
	Account string   `help:"Whose opinion it is. Default: everybody's." placeholder:"ADDRESS"`
	Paths   []string `arg:"" name:"path" help:"Maildir folders, mbox files, or files of one message."`
}

func (c *spamLearn) Run(e *env) error {
	var all []iter.Seq2[mailfile.Message, error]
	total := int64(0)
	for _, path := range c.Paths {
		messages, size, err := openMessages(path)
		if err != nil {
			return err
		}
		all = append(all, messages)
		total += size
	}
	bar := e.progress("learning", total)
	started := time.Now()
	var sum admin.Learned
	err := e.withAdmin(func(client *admin.Client) error {
		for _, messages := range all {
			done, err := client.LearnSpam(e.ctx, admin.SpamRequest{Address: c.Account, Spam: c.Spam}, tallied(messages, bar))
			sum.Messages += done.Messages
			sum.Known += done.Known
			if err != nil {
				return err
			}
		}
		return nil
	})
	bar.Finish()
	if err != nil {
		return err
	}
	if e.out.json {
		return e.out.object(sum)
	}
	e.out.say("Learned from %s; %d had been learned before (%s).", counted(sum.Messages, "message"), sum.Known, rate(sum.Messages, time.Since(started)))
	return nil
}

// openMessages returns the messages of a Maildir, of an mbox, or of a file that is one message.
func openMessages(path string) (iter.Seq2[mailfile.Message, error], int64, error) {
	messages, size, err := mailfile.Open(path)
	if !errors.Is(err, mailfile.ErrFormat) {
		return messages, size, err
	}
	info, statErr := os.Stat(path)
	if statErr != nil || !info.Mode().IsRegular() {
		return nil, 0, err
	}
	return func(yield func(mailfile.Message, error) bool) {
		content, err := os.ReadFile(path)
		yield(mailfile.Message{Content: withCRLF(content)}, err)
	}, info.Size(), nil
}

// withCRLF returns content with the line ends of mail.
func withCRLF(content []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

type spamStats struct {
	Account string `help:"Whose lessons. Default: those for everybody." placeholder:"ADDRESS"`
}

func (c *spamStats) Run(e *env) error {
	return e.withAdmin(func(client *admin.Client) error {
		s, err := admin.Call[classifier.Stats](e.ctx, client, "spam/stats", admin.SpamRequest{Address: c.Account})
		if err != nil {
			return err
		}
		if e.out.json {
			return e.out.object(s)
		}
		e.out.say("Learned as spam: %d, as wanted: %d; %.1f %% of the model is in use.", s.Spam, s.Ham, 100*float64(s.Used)/float64(max(s.Slots, 1)))
		if !s.Sure {
			e.out.say("That is not enough yet for an opinion.")
		}
		return nil
	})
}

type spamTest struct {
	Account string `help:"For whom. Default: nobody in particular." placeholder:"ADDRESS"`
	File    string `arg:"" help:"A file of one message, or - for standard input."`
}

// maxTested bounds the message to test, as the request is bounded: no more of it is read by the classifier.
const maxTested = 512 << 10

func (c *spamTest) Run(e *env) error {
	var from io.Reader = e.in
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		from = f
	}
	content, err := io.ReadAll(io.LimitReader(from, maxTested))
	if err != nil {
		return err
	}
	return e.withAdmin(func(client *admin.Client) error {
		o, err := admin.Call[classifier.Opinion](e.ctx, client, "spam/test", admin.SpamRequest{Address: c.Account, Content: content})
		if err != nil {
			return err
		}
		if e.out.json {
			return e.out.object(o)
		}
		e.out.opinion(o)
		return nil
	})
}

// opinion prints what the classifier thinks.
func (p *printer) opinion(o classifier.Opinion) {
	if !o.Sure {
		p.say("No opinion: too little was learned yet. posthaste spam learn teaches.")
		return
	}
	p.say("Spam with probability %.3f; from %.2f on it counts as spam.", o.Spam, classifier.Threshold)
	for _, w := range append(o.For, o.Against...) {
		fmt.Fprintf(p.w, "  %+6.2f  %s\n", w.Weight, oneLine(w.Text))
	}
}
