// A program with Go's net/http, on a plain port.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	log.SetOutput(io.Discard)
	text := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/data", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.Method {
		case "GET", "HEAD":
			io.WriteString(w, `{"message":"Secure data over HTTPS"}`)
		case "POST":
			var value any
			if json.NewDecoder(r.Body).Decode(&value) != nil {
				http.Error(w, "no JSON", 400)
				return
			}
			w.Header().Set("Location", "/api/items/1")
			w.WriteHeader(201)
			json.NewEncoder(w).Encode(value)
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			w.WriteHeader(405)
		}
	})
	mux.HandleFunc("/api/items/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "DELETE" {
			w.WriteHeader(204)
			return
		}
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/form", func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		io.WriteString(w, r.PostForm.Encode())
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %x", len(body), sha256.Sum256(body))
	})
	mux.HandleFunc("/query", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
	mux.Handle("/moved", http.RedirectHandler("/api/data", 302))
	mux.Handle("/moved/for/good", http.RedirectHandler("https://example.com/?a=b#c", 301))
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "a", Secure: true, HttpOnly: true})
		http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark", Secure: true})
		io.WriteString(w, "in")
	})
	mux.HandleFunc("/cookie", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("Cookie")) })
	mux.HandleFunc("/tagged", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "tagged.txt", time.Time{}, strings.NewReader("tagged"))
	})
	file := strings.Repeat("0123456789", 20000)
	mux.HandleFunc("/files/file.txt", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "file.txt", time.Unix(1700000000, 0), strings.NewReader(file))
	})
	mux.HandleFunc("/large", text(200, strings.Repeat("abcdefgh", 131072)))
	mux.HandleFunc("/pieces", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		io.WriteString(w, strings.Repeat("b", 200000)+" last")
	})
	mux.HandleFunc("/zipped", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Encoding")
		body := []byte(strings.Repeat("zip", 10000))
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			var zipped bytes.Buffer
			writer := gzip.NewWriter(&zipped)
			writer.Write(body)
			writer.Close()
			w.Header().Set("Content-Encoding", "gzip")
			body = zipped.Bytes()
		}
		w.Header().Set("Content-Type", "text/plain")
		w.Write(body)
	})
	mux.HandleFunc("/empty", text(204, ""))
	mux.HandleFunc("/nothing", text(200, ""))
	mux.HandleFunc("/fields", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("l", 4000))
		w.Header()["X-Twice"] = []string{"a", "b"}
		w.Header().Set("X-Empty", "")
		io.WriteString(w, "fields")
	})
	mux.HandleFunc("/teapot", text(418, "short and stout"))
	mux.HandleFunc("/busy", text(503, "busy"))
	mux.HandleFunc("/fault", text(500, "fault"))
	mux.HandleFunc("/", http.NotFound)
	// What the program sees, for the tests of hostile requests.
	handler := http.Handler(mux)
	if len(os.Args) > 1 {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			line := fmt.Sprintf("%s %s %x", r.Method, r.RequestURI, body)
			fmt.Println(line)
			w.Header().Set("X-Seen", line)
			io.WriteString(w, line)
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, handler))
}
