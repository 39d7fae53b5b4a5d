// Package web is what a person sees in a browser and what a script sees at
// /api/v1: the console pages, the JSON API and its description.
//
// It decides nothing about mirrors or accounts; it reads a request, asks
// whether the caller may, calls the domain once or twice and renders the
// answer. gin and the OpenAPI library stay in here.
package web
