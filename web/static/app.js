// What only a browser can do: copy a text, keep "4 min ago" true while a page
// stays open, and stop a private key before it leaves the machine. Every page
// works without this file; it only acts on elements that ask with data-….

document.documentElement.classList.add("js");

// The same table as spanText in pages_format.go.
function span(seconds) {
	if (seconds < 60) return `${seconds} s`;
	if (Math.round(seconds / 60) < 60) return `${Math.round(seconds / 60)} min`;
	if (Math.round(seconds / 3600) < 48) return `${Math.round(seconds / 3600)} h`;
	return `${Math.round(seconds / 86400)} days`;
}

function words(time) {
	const past = Math.round((Date.now() - Date.parse(time.dateTime)) / 1000);
	const length = span(Math.abs(past));
	if (time.dataset.ago === "age") return length;
	if (Math.abs(past) < 5) return "just now";
	return past > 0 ? `${length} ago` : `in ${length}`;
}

function refresh() {
	for (const time of document.querySelectorAll("time[data-ago]")) {
		const text = words(time);
		if (time.textContent !== text) time.textContent = text;
	}
}

// On a narrow screen a chart begins with what is newest, at its right end.
for (const chart of document.querySelectorAll("[data-latest]")) chart.scrollLeft = chart.scrollWidth;

// Buttons that need this file are hidden in the page and shown here.
function enable(root) {
	for (const button of root.querySelectorAll("button[data-copy]")) button.hidden = false;
}

async function copy(button) {
	const text = document.getElementById(button.dataset.copy).textContent;
	try {
		await navigator.clipboard.writeText(text);
	} catch { // no clipboard on plain http: select, so that one key press copies
		getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
		button.textContent = "Press Ctrl+C";
		return;
	}
	button.textContent = "Copied";
	setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

document.addEventListener("click", (event) => {
	const button = event.target.closest("button[data-copy]");
	if (button) copy(button);
});

document.addEventListener("input", (event) => {
	const field = event.target;
	if (!field.dataset?.guard) return;
	const secret = field.value.includes("PRIVATE KEY");
	field.setCustomValidity(secret ? "This is a private key. Nothing was sent. Paste the file that ends in .pub." : "");
	if (secret) field.reportValidity();
});

document.addEventListener("keydown", (event) => {
	const search = document.querySelector("input[type=search]");
	const typing = event.target.closest("input, textarea, select");
	if (event.key !== "/" || typing || !search) return;
	event.preventDefault();
	search.focus();
});

document.addEventListener("htmx:load", (event) => {
	enable(event.target);
	refresh();
});

enable(document);
refresh();
setInterval(refresh, 1000);
