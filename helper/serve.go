package helper

func serve() error { return nil }

func child() int { return 0 }
