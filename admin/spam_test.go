package admin

import (
	"fmt"
	"testing"

	"posthaste/filter/spam/classifier"
	"posthaste/kv/memkv"
	"posthaste/mailfile"
)

func TestSpamIsTaughtThroughTheSocket(t *testing.T) {
	a := newAdmin(t)
	a.cfg.Spam = classifier.New(classifier.Config{KV: memkv.New()})
	client := Local(a)
	lessons := func(word string) func(func(mailfile.Message, error) bool) {
		return func(yield func(mailfile.Message, error) bool) {
			for n := range 60 {
				content := fmt.Sprintf("Message-ID: <%s%d@x.example>\r\nSubject: %s\r\n\r\n%s %s here\r\n", word, n, word, word, word)
				if !yield(mailfile.Message{Content: []byte(content)}, nil) {
					return
				}
			}
		}
	}
	for _, want := range []Learned{{60, 0}, {60, 60}} {
		if got, err := client.LearnSpam(t.Context(), SpamRequest{Spam: true}, lessons("pills")); err != nil || got != want {
			t.Errorf("spam: %+v, %v; want %+v", got, err, want)
		}
	}
	if _, err := client.LearnSpam(t.Context(), SpamRequest{}, lessons("lunch")); err != nil {
		t.Fatal(err)
	}
	if s, err := Call[classifier.Stats](t.Context(), client, "spam/stats", SpamRequest{}); err != nil || s.Ham != 60 || s.Spam != 60 || !s.Sure {
		t.Errorf("stats %+v, %v", s, err)
	}
	o, err := Call[classifier.Opinion](t.Context(), client, "spam/test", SpamRequest{Content: []byte("Subject: pills\r\n\r\npills\r\n")})
	if err != nil || !o.Sure || o.Spam < 0.5 || len(o.For) == 0 {
		t.Errorf("opinion %+v, %v", o, err)
	}
	if _, err := client.LearnSpam(t.Context(), SpamRequest{Address: "nobody@north.test"}, lessons("x")); err == nil {
		t.Error("an account that is not there was taught")
	}
	a.cfg.Spam = nil
	if _, err := client.LearnSpam(t.Context(), SpamRequest{}, lessons("x")); err == nil {
		t.Error("taught without a classifier")
	}
}
