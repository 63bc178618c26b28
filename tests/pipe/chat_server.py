"""chat_server.py PORTFILE LOG: chat completions on loopback, with the faults that a request names.

The last message may hold "fault NAME": 429, 500, cut, half, slow and junk happen to the
first two attempts; 429s, empty, huge, 400, length and bad happen always.
The key must be "good-key".  LOG gets a line for each request, LOG.flight the most that were
answered at a time since it was removed.
"""
import collections
import http.server
import json
import os
import re
import sys
import threading
import time

tries = collections.Counter()
lock = threading.Lock()
flight = {"now": 0, "most": 0}

TALK = "Question:\nWhat is there?\n===\nAnswer:\nThere is %s.\n===\n"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def say(self, status, body, headers=(), length=None):
        self.land()
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(data)))
        for k, v in headers:
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        with lock:
            if not os.path.exists(sys.argv[2] + ".flight"):
                flight["most"] = 0
            flight["now"] += 1
            self.flying = 1
            flight["most"] = max(flight.values())
            with open(sys.argv[2] + ".flight", "w") as f:
                f.write("%d\n" % flight["most"])
        try:
            self.answer()
        finally:
            self.land()

    def land(self):  # before the answer is out: the next request may come at once
        with lock:
            flight["now"] -= self.flying
            self.flying = 0

    def answer(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        messages = body["messages"]
        text = messages[-1]["content"]
        with lock:
            tries[text] += 1
            n = tries[text]
            with open(sys.argv[2], "a") as f:
                f.write(json.dumps({"text": text, "try": n, "messages": len(messages)}) + "\n")
        key = (self.headers["Authorization"] or "")[len("Bearer "):]
        if key != "good-key":
            return self.say(401, json.dumps({"error": {"message": "wrong key: " + key}}))
        fault = (re.search(r"fault (\w+)", text) or [None, ""])[1]
        detail = "Describe the scene in detail" in messages[0]["content"]
        answer = "A long look at it." if detail else TALK % text.split("\n")[0].strip(".")
        finish = "stop"
        if n <= 2:
            if fault == "429":
                return self.say(429, "{}", [("Retry-After", "0")])
            if fault == "500":
                return self.say(500, "oops")
            if fault == "cut":
                self.land()
                return self.connection.close()
            if fault == "half":
                self.say(200, '{"choices"', length=1000)
                return self.connection.close()
            if fault == "junk":
                return self.say(200, "<html>")
            if fault == "slow":
                time.sleep(1.5)
        if fault == "429s":
            return self.say(429, "{}")
        if fault == "400":
            return self.say(400, json.dumps({"error": {"message": "too long"}}))
        if fault == "empty":
            return self.say(200, json.dumps({"choices": []}))
        if fault == "huge":
            return self.say(200, "x" * (5 << 20))
        if fault == "length":
            finish = "length"
        if fault == "bad":
            answer = "I see nothing."
        if "late" in text:
            time.sleep(0.3)
        self.say(200, json.dumps({"choices": [{"message": {"role": "assistant", "content": answer},
                                               "finish_reason": finish}]}))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # more than are ever in flight: a lost SYN costs a second

    def handle_error(self, *args):
        pass


server = Server(("127.0.0.1", 0), Handler)
with open(sys.argv[1] + ".tmp", "w") as f:
    f.write(str(server.server_address[1]))
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
server.serve_forever()
