package web

import "github.com/gin-gonic/gin"

// apiRoutes mounts /api.
func (s *Server) apiRoutes(r *gin.Engine) error { return nil }
