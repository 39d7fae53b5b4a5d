package web

import "github.com/gin-gonic/gin"

// pageRoutes mounts the console and sets errorPage.
func (s *Server) pageRoutes(r *gin.Engine) error { return nil }
